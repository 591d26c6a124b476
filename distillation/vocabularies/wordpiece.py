"""A cased WordPiece tokenizer of an exact size, trained on a corpus by sentencepiece's byte-pair merges."""

import io
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain
from pathlib import Path

import sentencepiece
from datasets import Dataset
from tokenizers import normalizers, pre_tokenizers
from transformers import BertTokenizer, PreTrainedTokenizerBase

from distillation.config.errors import UserError
from distillation.text.sampling import evenly_spaced

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHARACTER_COVERAGE = 0.9999  # the rarest characters (0.01 % of the text) stay unknown
MAX_TEXTS = 1_000_000  # of the corpus, evenly spaced, that a vocabulary is trained on
MAX_WORDS = 2_000_000  # distinct words that the merges are learnt from

_NORMALIZER = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
_SPLITTER = pre_tokenizers.BertPreTokenizer()


def train_tokenizer(texts: Iterable[str], vocab_size: int, max_length: int) -> PreTrainedTokenizerBase:
    """Train a cased BERT tokenizer whose vocabulary, special tokens included, has exactly `vocab_size` entries.

    Entries: special tokens, characters (at a word's start and, with ##, inside), then merges, the most frequent first.
    Raises UserError where the alphabet does not fit, or the text does not hold as many pieces.
    """
    words = count_words(texts)
    characters = _alphabet(words)
    inner = [f"##{c}" for c in characters if len(split_words(f"а{c}а")) == 1]  # punctuation is always a word
    tokens = [*SPECIAL_TOKENS, *characters, *inner]
    if len(tokens) > vocab_size:
        raise UserError(
            f"`vocab_size` {vocab_size:,} cannot hold the corpus's alphabet, which takes {len(tokens):,} entries: "
            "raise it, or clean rare characters out of the corpus"
        )
    tokens = list(dict.fromkeys(tokens + _merges(words, characters, vocab_size)))[:vocab_size]
    if len(tokens) < vocab_size:
        raise UserError(
            f"`vocab_size` {vocab_size:,} is more than this corpus yields ({len(tokens):,}): lower it, or add text"
        )
    return build_tokenizer(tokens, max_length)


def sample_texts(lines: Dataset) -> Iterator[str]:
    """At most `MAX_TEXTS` evenly spaced texts of a data set that need not fit in memory."""
    return (row["text"] for row in evenly_spaced(lines, MAX_TEXTS))


def measure(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> dict[str, float]:
    """How a tokenizer splits text. Words are those of BERT's cased tokenizer.

    entries: size of the vocabulary; tokens_per_word; unknown_tokens, unknown_words: shares that are, or hold, the
    unknown token (0 for a tokenizer without one).
    """
    words = count_words(texts)
    spellings = tokenizer(list(words), add_special_tokens=False)["input_ids"]
    counted = list(zip(words.values(), spellings, strict=True))
    tokens, unknown = sum(count * len(ids) for count, ids in counted), tokenizer.unk_token_id
    return {
        "entries": len(tokenizer),
        "tokens_per_word": tokens / words.total(),
        "unknown_tokens": sum(count * ids.count(unknown) for count, ids in counted) / max(tokens, 1),
        "unknown_words": sum(count for count, ids in counted if unknown in ids) / words.total(),
    }


def build_tokenizer(tokens: list[str], max_length: int) -> PreTrainedTokenizerBase:
    """A cased BERT tokenizer with these entries, in order."""
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return BertTokenizer(vocab=vocabulary, do_lower_case=False, strip_accents=False, model_max_length=max_length)


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs."""
    return Counter(chain.from_iterable(map(split_words, texts)))


def split_words(text: str) -> list[str]:
    """The words of a text, as BERT's cased tokenizer splits them."""
    return [word for word, _ in _SPLITTER.pre_tokenize_str(_NORMALIZER.normalize_str(text))]


def _alphabet(words: Counter[str]) -> list[str]:
    """The most frequent characters that together cover `CHARACTER_COVERAGE` of the text, in code point order."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    covered = accumulate((count for _, count in ranked), initial=0)  # by those before each character
    wanted = CHARACTER_COVERAGE * counts.total()
    return sorted(character for (character, _), before in zip(ranked, covered, strict=False) if before < wanted)


def _merges(words: Counter[str], characters: list[str], vocab_size: int) -> list[str]:
    """The entries that sentencepiece's BPE merges out of the words, in the order of the merges."""
    known = set(characters)
    usable = [(word, count) for word, count in words.most_common(MAX_WORDS) if known.issuperset(word)]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "words.tsv")
        table.write_text("".join(f"{word}\t{count}\n" for word, count in usable), encoding="utf-8")
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            input=str(table),
            input_format="tsv",
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size + len(characters) + 4,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=1 << 20,
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(number) for number in range(processor.get_piece_size())]
    # "▁" marks the start of a word; "<unk>" and its like are no entries.
    merged = [piece for piece in pieces if len(piece) > 1 and not piece.startswith("<")]
    return [piece[1:] if piece.startswith("▁") else f"##{piece}" for piece in merged]
