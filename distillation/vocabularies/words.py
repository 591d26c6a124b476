"""The words of a corpus, as BERT splits them: how often each occurs, their alphabet, how a tokenizer cuts them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain

from datasets import Dataset
from tokenizers import normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerBase

from distillation.text.sampling import evenly_spaced

CHARACTER_COVERAGE = 0.9999  # the rarest characters (0.01 % of the text) are not in the alphabet
MAX_TEXTS = 1_000_000  # of the corpus, evenly spaced, that a vocabulary is trained on

_SPLITTER = pre_tokenizers.BertPreTokenizer()


def sample_texts(lines: Dataset) -> Iterator[str]:
    """At most `MAX_TEXTS` evenly spaced texts of a data set that need not fit in memory."""
    return (row["text"] for row in evenly_spaced(lines, MAX_TEXTS))


def bert_normalizer(lowercase: bool = False) -> normalizers.Normalizer:
    """BERT's normaliser. It keeps accents: stripped of them й would be и, and ё would be е."""
    return normalizers.BertNormalizer(lowercase=lowercase, strip_accents=False)


def count_words(
    texts: Iterable[str],
    normalizer: normalizers.Normalizer | None = None,
    splitter: pre_tokenizers.PreTokenizer = _SPLITTER,
) -> Counter[str]:
    """How often each word occurs; by default each cased word of BERT's."""
    normalize, split = (normalizer or bert_normalizer()).normalize_str, splitter.pre_tokenize_str
    return Counter(word for text in texts for word, _ in split(normalize(text)))


def ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent first. Equal corpora have equal orders."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def alphabet(words: Counter[str]) -> list[str]:
    """The most frequent characters that together cover `CHARACTER_COVERAGE` of the text, in code point order."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    order, wanted = ranked(counts), CHARACTER_COVERAGE * counts.total()
    covered = accumulate((count for _, count in order), initial=0)  # by those before each character
    return sorted(character for (character, _), before in zip(order, covered, strict=False) if before < wanted)


def measure(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> dict[str, float]:
    """How a tokenizer splits text. Words are those of BERT's cased tokenizer.

    entries: size of the vocabulary; tokens_per_word; unknown_tokens, unknown_words: shares that are, or hold, the
    unknown token (0 for a tokenizer without one).
    """
    words, unknown = count_words(texts), tokenizer.unk_token_id
    ids = [*chain.from_iterable(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"])]
    spellings = tokenizer(list(words), add_special_tokens=False)["input_ids"]
    counted = zip(words.values(), spellings, strict=True)
    return {
        "entries": len(tokenizer),
        "tokens_per_word": len(ids) / words.total(),
        "unknown_tokens": ids.count(unknown) / max(len(ids), 1),
        "unknown_words": sum(count for count, own in counted if unknown in own) / words.total(),
    }
