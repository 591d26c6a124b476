"""Classification of words in their texts: the words are marked, and a text that is too long is cut around them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from transformers import PreTrainedTokenizerBase

from finetuning.tasks.base import Encoded, Row
from finetuning.tasks.classification import TextClassification
from finetuning.tasks.text_pairs import SPECIAL_TOKENS

logger = logging.getLogger(__name__)

MARKS = ("*", "#")  # of the first and the second word

Span = Sequence[int]  # start and end in characters


@dataclass(frozen=True, kw_only=True)
class MarkedWords(TextClassification):
    """Rows have `id`, `text`, `span`, `span_2`, and `label`; `span_2` is in `text_2`, or in `text` too.

    Marks in the text need no head of their own: any sequence classifier reads them, in any pipeline.
    """

    texts_are_examples: ClassVar[bool] = False  # several rows ask about different words of one text

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
        """An input a row, with the marked words in it."""
        unknown = [mark for mark in MARKS if tokenizer.unk_token_id in tokenizer(mark)["input_ids"]]
        if unknown:
            logger.warning("the vocabulary lacks %s, so that unknown tokens mark the words", " and ".join(unknown))
        shown, cut = [], 0
        for row in rows:
            texts, regions = marked_texts(row)
            short = fitting(texts, regions, tokenizer, max_length - SPECIAL_TOKENS)
            cut += short != texts
            shown.append({**row, **dict(zip(("text", "text_2"), short, strict=False))})
        return replace(super().encode(shown, tokenizer, max_length), truncated=cut)


def marked_texts(row: Row) -> tuple[list[str], list[list[Span]]]:
    """The text or both with the words between marks, and where the marked words of each begin and end, marks included.

    Marks are one character long.
    """
    if "text_2" in row:
        pairs = [(row["text"], [(row["span"], MARKS[0])]), (row["text_2"], [(row["span_2"], MARKS[1])])]
    else:
        pairs = [(row["text"], list(zip((row["span"], row["span_2"]), MARKS, strict=True)))]
    texts, regions = [], []
    for text, words in pairs:
        places = sorted(((place, mark) for span, mark in words for place in span), reverse=True)
        for place, mark in places:  # from the end: the places before stay as they are
            text = text[:place] + mark + text[place:]
        texts.append(text)
        before = [place for place, _ in places]
        regions.append(
            [
                (start + sum(p < start for p in before), end + sum(p <= end for p in before))
                for (start, end), _ in words
            ]
        )
    return texts, regions


def fitting(
    texts: Sequence[str], regions: Sequence[Sequence[Span]], tokenizer: PreTrainedTokenizerBase, limit: int
) -> list[str]:
    """The texts, cut around their regions so that together they have at most `limit` tokens.

    Of two texts each may have half, and what the other leaves.
    """
    lengths = [token_count(text, tokenizer) for text in texts]
    if sum(lengths) <= limit:
        return list(texts)
    shares = [limit] if len(texts) == 1 else [max(limit // 2, limit - other) for other in reversed(lengths)]
    return [
        text if length <= share else excerpt(text, inside, tokenizer, share)
        for text, inside, length, share in zip(texts, regions, lengths, shares, strict=True)
    ]


def excerpt(text: str, regions: Sequence[Span], tokenizer: PreTrainedTokenizerBase, limit: int) -> str:
    """At most `limit` tokens of a text with all regions in it: around all of them, or around each if they are far
    apart."""
    hull = (min(start for start, _ in regions), max(end for _, end in regions))
    if len(regions) == 1 or token_count(text[slice(*hull)], tokenizer) <= limit // 2:
        return around(text, hull, tokenizer, limit)
    share = limit // len(regions) - 1
    return " … ".join(around(text, region, tokenizer, share) for region in sorted(regions))


def around(text: str, region: Span, tokenizer: PreTrainedTokenizerBase, limit: int) -> str:
    """At most `limit` tokens of a text, with a region in the middle."""
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    inside = [number for number, (start, end) in enumerate(tokens) if start < region[1] and end > region[0]]
    middle = (inside[0] + inside[-1]) // 2 if inside else 0
    for size in range(min(limit, len(tokens)), 0, -1):
        first = max(0, min(middle - size // 2, len(tokens) - size))
        part = text[tokens[first][0] : tokens[first + size - 1][1]]
        if token_count(part, tokenizer) <= limit:  # half a word may have more tokens than it had in the whole one
            return part
    return ""


def token_count(text: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens a text has, without special ones."""
    # Not verbose: it would warn of a length that is about to be cut.
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
