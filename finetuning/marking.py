"""Classification of words in their texts: the words are marked, and a text that is too long is cut around them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from transformers import PreTrainedTokenizerBase

from finetuning.classification import TextClassification
from finetuning.task import Encoded, Row

MARKS = ("*", "#")  # of the first and the second word
SPECIAL_TOKENS = 4  # of a pair, at most: <s> a </s></s> b </s>

Span = Sequence[int]  # start and end in characters


@dataclass(frozen=True, kw_only=True)
class MarkedWords(TextClassification):
    """Rows have `id`, `text`, `span`, `span_2`, and `label`; `span_2` is in `text_2`, or in `text` too.

    Marks in the text need no head of their own: any sequence classifier reads them, in any pipeline.
    """

    texts_are_examples: ClassVar[bool] = False  # several rows ask about different words of one text

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
        """An input a row, with the marked words in it."""
        shown, cut = [], 0
        for row in rows:
            texts, regions = marked_texts(row)
            short = fitting(texts, regions, tokenizer, max_length - SPECIAL_TOKENS)
            cut += short != texts
            shown.append({**row, **dict(zip(("text", "text_2"), short, strict=False))})
        return replace(super().encode(shown, tokenizer, max_length), truncated=cut)


def marked_texts(row: Row) -> tuple[list[str], list[Span]]:
    """The text or both with the words between marks, and where the marked words begin and end in each."""
    if "text_2" in row:
        pairs = [(row["text"], [(row["span"], MARKS[0])]), (row["text_2"], [(row["span_2"], MARKS[1])])]
    else:
        pairs = [(row["text"], list(zip((row["span"], row["span_2"]), MARKS, strict=True)))]
    texts, regions = [], []
    for text, words in pairs:
        begin, end = min(span[0] for span, _ in words), max(span[1] for span, _ in words)
        places = [(place, mark) for span, mark in words for place in span]
        for place, mark in sorted(places, reverse=True):  # from the end: the places before stay as they are
            text = text[:place] + mark + text[place:]
        texts.append(text)
        regions.append((begin, end + sum(len(mark) for _, mark in places)))
    return texts, regions


def fitting(
    texts: Sequence[str], regions: Sequence[Span], tokenizer: PreTrainedTokenizerBase, limit: int
) -> list[str]:
    """The texts, cut around their regions so that together they have at most `limit` tokens.

    Of two texts each may have half, and what the other leaves.
    """
    # Not verbose: it would warn of a length that is to be cut.
    encoding = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = encoding["offset_mapping"]
    lengths = [len(one) for one in offsets]
    if sum(lengths) <= limit:
        return list(texts)
    shares = [limit] if len(texts) == 1 else [max(limit // 2, limit - other) for other in reversed(lengths)]
    return [
        text if length <= share else around(text, region, tokens, share)
        for text, region, tokens, length, share in zip(texts, regions, offsets, lengths, shares, strict=True)
    ]


def around(text: str, region: Span, tokens: Sequence[Span], size: int) -> str:
    """The part of a text that `size` of its tokens cover, with a region in the middle.

    tokens: the start and end of each in characters.
    """
    inside = [number for number, (start, end) in enumerate(tokens) if start < region[1] and end > region[0]]
    middle = (inside[0] + inside[-1]) // 2 if inside else 0
    first = max(0, min(middle - size // 2, len(tokens) - size))
    return text[tokens[first][0] : tokens[first + size - 1][1]]
