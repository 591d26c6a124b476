"""Makes a tokenizer follow its files where transformers reads them differently, and read decomposed letters; writes
its files."""

import logging
import re
from pathlib import Path

from tokenizers import normalizers
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils import cached_file

from distillation.runs.files import read_json, write_json
from distillation.vocabularies.mapping import vocabulary_size

logger = logging.getLogger(__name__)

SAMPLE = (
    "Мама мыла раму, а папа читал газету.",
    "Привет! Как дела? Давно не виделись.",
    "В этом году зима в Москве была очень холодной и долгой.",
    "The quick brown fox jumps over a lazy dog.",
    "Ёж и йог: №5, ½ кг, 1945 г. — 12,5 %… «да»  don't café ﬁ ＡＢ 東京\tИ\nя 😀 e-mail@mail.ru",
)
# Keys of tokenizer_config.json, and what a normaliser or splitter of tokenizer.json calls them.
OPTIONS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
    "add_prefix_space": "add_prefix_space",
}


def fill_gaps(tokenizer: Tokenizer, name_or_path: str) -> None:
    """Fill the unused ids of a WordPiece vocabulary with tokens that no text gives, so that vocab.txt can be written.
    An id is unused where vocab.txt has a line twice: only the last counts."""
    model, tokens = tokenizer.backend_tokenizer.model, tokenizer.get_vocab()
    gaps = set(range(vocabulary_size(tokenizer))) - set(tokens.values())
    if gaps and isinstance(model, WordPiece):
        options = ("unk_token", "continuing_subword_prefix", "max_input_chars_per_word")
        tokens |= {f"[unused_{number}]": number for number in gaps}
        tokenizer.backend_tokenizer.model = WordPiece(tokens, **{name: getattr(model, name) for name in options})
        logger.info(
            "%r has ids without a token (does vocab.txt repeat a line?): %s, filled up", name_or_path, sorted(gaps)
        )


def as_in_file(tokenizer: Tokenizer, name_or_path: str) -> Tokenizer:
    """The tokenizer as its tokenizer.json has it, if that reads a sample differently; else the same tokenizer.

    transformers 5 takes only the vocabulary from the file. The tokenizer's class, which tokenizer_config.json or the
    model's type names, decides the rest. Options in tokenizer_config.json apply to both.
    """
    file = cached_file(name_or_path, "tokenizer.json", _raise_exceptions_for_missing_entries=False)
    if file is None or type(tokenizer) is PreTrainedTokenizerFast:
        return tokenizer
    taken = {"model_input_names": tokenizer.model_input_names, "model_max_length": tokenizer.model_max_length}
    own = PreTrainedTokenizerFast.from_pretrained(name_or_path, **tokenizer.special_tokens_map, **taken)
    config = get_tokenizer_config(name_or_path)
    for part in (own.backend_tokenizer.normalizer, own.backend_tokenizer.pre_tokenizer):
        for name in OPTIONS.keys() & config.keys():
            if hasattr(part, OPTIONS[name]):
                setattr(part, OPTIONS[name], config[name])
    readings = [one(list(SAMPLE))["input_ids"] for one in (own, tokenizer)]
    if readings[0] == readings[1]:
        return tokenizer
    logger.warning(
        "%r is read by its own tokenizer.json, because the %s that transformers builds splits a sample differently",
        name_or_path,
        type(tokenizer).__name__,
    )
    return own


def compose_letters(tokenizer: Tokenizer) -> None:
    """Let a tokenizer read decomposed letters (macOS, PDF) as composed ones. Offsets still count the text as it is."""
    backend = tokenizer.backend_tokenizer
    if not composes_letters(tokenizer):
        parts = [normalizers.NFC(), *filter(None, [backend.normalizer])]
        backend.normalizer = normalizers.Sequence(parts)


def composes_letters(tokenizer: Tokenizer) -> bool:
    """Whether `compose_letters` was called, or the tokenizer does so by itself."""
    return re.search("NFK?C", repr(tokenizer.backend_tokenizer.normalizer)) is not None


def save_tokenizer(tokenizer: Tokenizer, folder: str | Path, vocab_txt: bool = True) -> None:
    """Write the files that `AutoTokenizer` of transformers 4 and 5 loads; for WordPiece also `vocab.txt`, which
    transformers 5 leaves out."""
    # Those of the last call would be saved, and would cut texts where tokenizer.json is used without transformers.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    path = Path(folder, "tokenizer_config.json")
    config = read_json(path)
    # TokenizersBackend is the name in transformers 5; both know the old one. Of other classes transformers 5 takes the
    # vocabulary alone, and decomposed letters would be unknown again.
    if config["tokenizer_class"] == "TokenizersBackend" or composes_letters(tokenizer):
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(config.get("extra_special_tokens"), list):  # a map in transformers 4; both know the old name
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    write_json(path, config)
    if vocab_txt and type(tokenizer.backend_tokenizer.model).__name__ == "WordPiece":
        tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        Path(folder, "vocab.txt").write_text("".join(f"{token}\n" for token, _ in tokens), encoding="utf-8")
