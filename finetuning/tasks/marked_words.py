"""Classification of words in their texts: marks stand around the words, and a long text is cut around them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from transformers import PreTrainedTokenizerBase

from finetuning.tasks.base import Part, Row
from finetuning.tasks.classification import TextClassification
from finetuning.tasks.text_pairs import SPECIAL_TOKENS

logger = logging.getLogger(__name__)

MARKS = ("*", "#")  # of the first and the second word, one character each

Span = Sequence[int]  # start and end in characters
Marked = tuple[str, list[Span]]  # a text with marks, and the spans of its marked words


@dataclass(frozen=True, kw_only=True)
class MarkedWords(TextClassification):
    """Rows have `id`, `text`, `span`, `span_2`, and `label`; `span_2` is in `text_2`, or in `text` too.

    Marks in the text need no head of their own: any sequence classifier reads them, in any pipeline.
    """

    texts_are_examples: ClassVar[bool] = False  # several rows ask about different words of one text

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Part:
        """One input a row, with the marked words in it."""
        unknown = [mark for mark in MARKS if tokenizer.unk_token_id in tokenizer(mark)["input_ids"]]
        if unknown:
            logger.warning("the vocabulary lacks %s, so that unknown tokens mark the words", " and ".join(unknown))
        shown, cut = [], 0
        for row in rows:
            marked = marked_texts(row)
            short = fitting(marked, tokenizer, max_length - SPECIAL_TOKENS)
            cut += short != [text for text, _ in marked]
            shown.append({**row, **dict(zip(("text", "text_2"), short, strict=False))})
        return replace(super().encode(shown, tokenizer, max_length), rows=rows, truncated=cut)


def marked_texts(row: Row) -> list[Marked]:
    """The text or both with marks around the words, and the spans of the marked words, marks included."""
    one, other = (row["span"], MARKS[0]), (row["span_2"], MARKS[1])
    if "text_2" in row:
        return [_marked(row["text"], [one]), _marked(row["text_2"], [other])]
    return [_marked(row["text"], [one, other])]


def _marked(text: str, words: Sequence[tuple[Span, str]]) -> Marked:
    marks = sorted((place, mark) for span, mark in words for place in span)
    marks = [(place + before, mark) for before, (place, mark) in enumerate(marks)]  # each moves those behind it
    for place, mark in marks:
        text = text[:place] + mark + text[place:]
    ends = [[place for place, other in marks if other == mark] for _, mark in words]
    return text, [(start, end + 1) for start, end in ends]


def fitting(marked: Sequence[Marked], tokenizer: PreTrainedTokenizerBase, limit: int) -> list[str]:
    """The texts, cut around their spans so that together they have at most `limit` tokens: of two each may have half,
    and what the other leaves."""
    lengths = [len(token_offsets(text, tokenizer)) for text, _ in marked]
    short = []
    for (text, spans), length in zip(marked, lengths, strict=True):
        share = max(limit // len(marked), limit - sum(lengths) + length)
        short.append(text if length <= share else excerpt(text, spans, tokenizer, share))
    return short


def excerpt(text: str, spans: Sequence[Span], tokenizer: PreTrainedTokenizerBase, limit: int) -> str:
    """The at most `limit` tokens of a text that are nearest to the spans, with an ellipsis for each gap."""
    offsets = token_offsets(text, tokenizer)
    distances = [min(max(first - end, start - last, 0) for first, last in spans) for start, end in offsets]
    nearest = np.argsort(distances, kind="stable")
    for size in range(min(limit, len(offsets)), 0, -1):
        shown = np.sort(nearest[:size])
        runs = np.split(shown, np.flatnonzero(np.diff(shown) > 1) + 1)
        short = " … ".join(text[offsets[run[0]][0] : offsets[run[-1]][1]] for run in runs)
        if len(token_offsets(short, tokenizer)) <= limit:  # half of a word may have more tokens than in the word
            return short
    return ""


def token_offsets(text: str, tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, int]]:
    """The characters of each token, without special ones."""
    # Not verbose: it would warn of a length that is about to be cut.
    return tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
