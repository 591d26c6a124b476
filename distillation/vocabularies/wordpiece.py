"""A WordPiece tokenizer of an exact size, trained on a corpus by sentencepiece's byte-pair merges."""

from collections import Counter
from collections.abc import Iterable

from transformers import BertTokenizer, PreTrainedTokenizerBase

from distillation.config.errors import UserError
from distillation.vocabularies.pieces import learn_pieces
from distillation.vocabularies.words import alphabet, bert_normalizer, count_words

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_tokenizer(texts: Iterable[str], vocab_size: int, lowercase: bool = False) -> PreTrainedTokenizerBase:
    """Train a BERT tokenizer whose vocabulary, special tokens included, has exactly `vocab_size` entries.

    Entries: special tokens, characters (at a word's start and, with ##, inside), then merges, the most frequent first.
    Raises UserError where the alphabet does not fit, or the text does not hold as many pieces.
    """
    words = count_words(texts, bert_normalizer(lowercase))
    characters = alphabet(words)
    inner = [f"##{c}" for c in characters if count_words([f"а{c}а"]).total() == 1]  # punctuation is always a word
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
    return build_tokenizer(tokens, lowercase)


def build_tokenizer(tokens: list[str], lowercase: bool = False) -> PreTrainedTokenizerBase:
    """A BERT tokenizer with these entries, in order. It keeps accents; BERT's default with lower case strips them."""
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return BertTokenizer(vocab=vocabulary, do_lower_case=lowercase, strip_accents=False)


def _merges(words: Counter[str], characters: list[str], vocab_size: int) -> list[str]:
    """The entries that sentencepiece's BPE merges out of the words, in the order of the merges."""
    pieces = learn_pieces(words, characters, model_type="bpe", vocab_size=vocab_size + len(characters) + 4)
    # "▁" marks the start of a word.
    return [piece[1:] if piece.startswith("▁") else f"##{piece}" for piece, _ in pieces if len(piece) > 1]
