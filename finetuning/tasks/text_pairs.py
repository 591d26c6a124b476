"""Two texts as one input, and which of them is cut if both are too long."""

from collections.abc import Sequence

import numpy as np
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

    truncate_second_only: the first text is a question about the second. It is cut only if it would take more than
        three quarters of the input. Otherwise the longer text is cut first.
    """
    cut, truncation = 0, True
    if truncate_second_only:
        first, cut = shortened(first, tokenizer, question_limit(max_length))
        truncation = "only_second"
    encoding = tokenizer(list(first), list(second), truncation=truncation, max_length=max_length)
    return encoding, max(cut, sum(bool(one.overflowing) for one in encoding.encodings))


def question_limit(max_length: int) -> int:
    """How many tokens a question may take."""
    return 3 * max_length // 4 - SPECIAL_TOKENS


def shortened(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, limit: int | Sequence[int]
) -> tuple[list[str], int]:
    """The texts, cut after `limit` tokens, and how many were cut. limit: one for all texts, or one for each."""
    # Not verbose: it would warn of a length that is about to be cut.
    encoding = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    short, cut = list(texts), 0
    for number, most in enumerate(np.broadcast_to(limit, len(short))):
        offsets = encoding["offset_mapping"][number]
        if len(offsets) > most:
            short[number], cut = short[number][: offsets[most - 1][1]], cut + 1
    return short, cut
