"""Two texts as one input, and which of them is cut where both are too long."""

from collections.abc import Sequence

from transformers import BatchEncoding, PreTrainedTokenizerBase

SPECIAL_TOKENS = 4  # of a pair, at most: <s> a </s></s> b </s>


def tokenize_pairs(
    tokenizer: PreTrainedTokenizerBase,
    first: Sequence[str],
    second: Sequence[str],
    max_length: int,
    truncate_second_only: bool,
) -> tuple[BatchEncoding, int]:
    """The inputs, and how many of them show only a part of a text.

    truncate_second_only: the first text is a question about the second, and is cut only where it would take more than
        three quarters of the input. Else the longer text is cut first.
    """
    cut = 0
    if truncate_second_only:
        first, cut = shortened(first, tokenizer, asked_limit(max_length))
    truncation = "only_second" if truncate_second_only else True
    encoding = tokenizer(list(first), list(second), truncation=truncation, max_length=max_length)
    return encoding, max(cut, sum(bool(one.overflowing) for one in encoding.encodings))


def asked_limit(max_length: int) -> int:
    """How many tokens a question may take."""
    return 3 * max_length // 4 - SPECIAL_TOKENS


def shortened(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, limit: int | Sequence[int]
) -> tuple[list[str], int]:
    """The texts, cut after `limit` tokens, of all or of each, and how many were cut."""
    limits = [limit] * len(texts) if isinstance(limit, int) else limit
    # Not verbose: it would warn of a length that is about to be cut.
    encoding = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    cut = [
        text[: offsets[most - 1][1]] if len(offsets) > most else text
        for text, offsets, most in zip(texts, encoding["offset_mapping"], limits, strict=True)
    ]
    return cut, sum(len(offsets) > most for offsets, most in zip(encoding["offset_mapping"], limits, strict=True))
