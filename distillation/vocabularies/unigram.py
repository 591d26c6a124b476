"""A Unigram tokenizer of an exact size, to which nothing is unknown: it writes other characters as bytes.

sentencepiece learns the pieces: the trainer of the tokenizers library gives other ones in each run.
"""

from collections import Counter
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from distillation.config.errors import UserError
from distillation.vocabularies.pieces import learn_pieces
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS
from distillation.vocabularies.words import alphabet, count_words, ranked

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SEED_WORDS = 100_000  # the most frequent words, whose parts may become pieces
LONGEST = 16  # characters of a piece
# BERT's notion of a mark, here with the space before it. As each mark stands alone, no piece joins a word and a mark,
# and no text gives a special token or a byte token.
_MARK = Regex(r"▁?[\p{P}!-/:-@\[-`{-~]")


def train_tokenizer(texts: Iterable[str], vocab_size: int, lowercase: bool = False) -> PreTrainedTokenizerBase:
    """Train a tokenizer whose vocabulary, special tokens and bytes included, has exactly `vocab_size` entries.

    Entries: special tokens, bytes, then pieces, the likeliest first. Raises UserError where the alphabet does not fit,
    or the text does not hold as many pieces.
    """
    frame = build_tokenizer([], lowercase).backend_tokenizer
    words = count_words(texts, frame.normalizer, frame.pre_tokenizer)
    characters, around = alphabet(words), len(SPECIAL_TOKENS) + len(BYTES)
    if around + len(characters) > vocab_size:
        raise UserError(
            f"`vocab_size` {vocab_size:,} cannot hold the corpus's alphabet, {len(BYTES)} bytes, and the special "
            f"tokens, which take {around + len(characters):,} entries: raise it, clean rare characters out of the "
            "corpus, or set `model_type: wordpiece`, which has no bytes"
        )
    pieces = learn_pieces(
        words,
        characters,
        seeds=_parts(words),
        model_type="unigram",
        vocab_size=vocab_size - around + 1,  # sentencepiece counts its own "<unk>"
        bos_id=-1,
        eos_id=-1,
        add_dummy_prefix=False,  # the words have their spaces already
        remove_extra_whitespaces=False,
    )
    if len(pieces) + around < vocab_size:
        found = len(pieces) + around
        raise UserError(
            f"`vocab_size` {vocab_size:,} is more than this corpus yields ({found:,}): lower it, or add text"
        )
    return build_tokenizer(pieces, lowercase)


def build_tokenizer(pieces: list[tuple[str, float]], lowercase: bool = False) -> PreTrainedTokenizerBase:
    """A tokenizer with special tokens, bytes, and these pieces and their log-probabilities, in order."""
    entries = [(token, 0.0) for token in (*SPECIAL_TOKENS, *BYTES)] + pieces
    bare = Tokenizer(models.Unigram(entries, unk_id=SPECIAL_TOKENS.index("[UNK]"), byte_fallback=True))
    clean = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=False, handle_chinese_chars=False)
    spaces = [normalizers.Replace(Regex(" +"), " "), normalizers.Strip(left=False)]  # not behind [MASK]
    bare.normalizer = normalizers.Sequence([clean, *spaces])
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="first")  # not for a mark behind a special token
    bare.pre_tokenizer = pre_tokenizers.Sequence([metaspace, pre_tokenizers.Split(_MARK, behavior="isolated")])
    bare.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    ids = [(token, SPECIAL_TOKENS.index(token)) for token in ("[CLS]", "[SEP]")]
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
    bare.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair=pair, special_tokens=ids)
    roles = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL_TOKENS, strict=False))
    mask = AddedToken("[MASK]", lstrip=True, normalized=False, special=True)  # it stands for a word and its space
    roles |= {"mask_token": mask, "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    return PreTrainedTokenizerFast(tokenizer_object=bare, **roles)


def _parts(words: Counter[str]) -> Counter[str]:
    """How often each part of a word occurs in the text. sentencepiece would count a word once, however frequent."""
    parts: Counter[str] = Counter()
    for word, count in ranked(words)[:SEED_WORDS]:
        starts = range(len(word))
        for part in (word[start:end] for start in starts for end in range(start + 1, len(word) + 1)[:LONGEST]):
            parts[part] += count
    return Counter({part: count for part, count in parts.items() if count > 1 or len(part) == 1})
