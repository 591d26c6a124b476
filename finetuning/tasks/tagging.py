"""Tagging of words: entities in a text of any length, by any tokenizer."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from datasets import Dataset
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerBase

from finetuning.tasks.base import Encoded, Row, Task, softmax
from finetuning.tasks.bio_spans import decode, entities
from finetuning.tasks.losses import IGNORED
from finetuning.tasks.windows import Window, read_windows


class Place(NamedTuple):
    """Where a word is read: a token of an input."""

    input: int
    token: int
    shared: bool  # with a word before it, whose place it is


@dataclass(frozen=True, kw_only=True)
class Tagging(Task):
    """Rows have `id`, `text`, `words` as [start, end] in characters of the text, and a tag of each in `tags`.

    The labels are the tags: O, and B- and I- of each type. A word is tagged at its first sub-word. A text longer than
    an input is read through overlapping windows; a word counts in the one window that shows most around it, so that
    none is lost and none counts twice.
    """

    model_class: ClassVar[type] = AutoModelForTokenClassification
    pipeline_tag: ClassVar[str] = "token-classification"
    padded: ClassVar[tuple[str, ...]] = ("labels", "teacher_logits")

    def texts(self, row: Row) -> tuple[str]:
        """The text."""
        return (row["text"],)

    def labels_of(self, row: Row) -> list[str]:
        """The tags."""
        return row["tags"]

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
        """An input a window; `places` has for each row a `Place` a word, None for a word without a token."""
        columns, windows = read_windows(tokenizer, [row["text"] for row in rows], max_length)
        places = [word_places(row["words"], shown) for row, shown in zip(rows, windows, strict=True)]
        labels = [np.full(length, IGNORED, dtype=np.int32) for length in columns["length"]]
        index = {tag: number for number, tag in enumerate(self.labels)}
        for row, found in zip(rows, places, strict=True):
            for tag, place in zip(row["tags"], found, strict=True):
                if place and not place.shared:
                    labels[place.input][place.token] = index[tag]
        return Encoded(Dataset.from_dict(columns | {"labels": labels, "size": columns["length"]}), places)

    def decode(self, rows: Sequence[Row], encoded: Encoded, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """The likeliest tag of each word, and the entities in characters with the mean probability of their tags.

        A word that shares its token with the word before continues that one's entity.
        """
        predictions = []
        for row, places in zip(rows, encoded.places, strict=True):
            tags, probabilities = [], np.ones(len(places))
            for word, place in enumerate(places):
                tag = "O"
                if place is not None:
                    shares = softmax(logits[place.input][place.token])
                    tag, probabilities[word] = self.labels[shares.argmax()], shares.max()
                tags.append(f"I-{tag[2:]}" if place is not None and place.shared and tag != "O" else tag)
            score = float(probabilities.mean()) if len(places) else 1.0
            found = [
                {
                    "type": kind,
                    "start": start,
                    "end": end,
                    "text": text,
                    "score": float(probabilities[first:after].mean()),
                }
                for (kind, start, end, text), (_, first, after) in zip(entities(row, tags), decode(tags), strict=True)
            ]
            predictions.append({"id": row["id"], "prediction": tags, "score": score, "entities": found})
        return predictions

    def references(self, rows: Sequence[Row]) -> list[list[str]]:
        """The tags."""
        return [list(row["tags"]) for row in rows]

    def teacher_logits(self, teacher: Encoded, logits: Sequence[np.ndarray], student: Encoded) -> list[np.ndarray]:
        """Of each word where the student reads it, so that tokenizers may differ."""
        taught = [np.full((length, len(self.labels)), np.nan, np.float32) for length in student.inputs["length"]]
        for theirs, ours in zip(teacher.places, student.places, strict=True):
            for there, here in zip(theirs, ours, strict=True):
                if there and here and not there.shared and not here.shared:
                    taught[here.input][here.token] = logits[there.input][there.token]
        return taught


def word_places(words: Sequence[Sequence[int]], windows: Sequence[Window]) -> list[Place | None]:
    """The place of each word of a text: its first token, in the window with most tokens around it.

    words: (start, end) of each in characters, in order. Several tokens may lie on one character (bytes), and several
    words under one token.
    """
    ends = [end for _, end in words]
    best: list[tuple[tuple, Place] | None] = [None] * len(words)
    for window in windows:
        seen = -1  # the last word that begins in this window
        for token, (start, end) in enumerate(window.offsets.tolist()):
            if start >= end:
                continue
            word = max(bisect.bisect_right(ends, start), seen + 1)
            shared = False
            while word < len(words) and words[word][0] < end:
                # Earlier in the text before more around it: a window may begin in the middle of a word.
                rank = (-start, min(token, len(window.offsets) - 1 - token))
                if best[word] is None or rank > best[word][0]:
                    best[word] = (rank, Place(window.input, token, shared))
                seen, shared, word = word, True, word + 1
    return [None if found is None else found[1] for found in best]
