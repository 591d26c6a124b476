"""Tagging of words: entities in a text of any length, by any tokenizer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerBase

from finetuning.deployed.model import OUTSIDE, read_tags, tag_spans, word_places
from finetuning.metrics import EntityScores
from finetuning.tasks.base import NONE, Part, Row, Task
from finetuning.tasks.bio_spans import bio_tags
from finetuning.tasks.losses import IGNORED
from finetuning.tasks.windows import read_windows


@dataclass(frozen=True, kw_only=True)
class Tagging(Task):
    """Rows have `id`, `text`, `words` as [start, end] in characters of the text, and a tag of each in `tags`,
    None if it is not known.

    The labels are the tags: O, and B- and I- of each type. A word is tagged at its first sub-word. Overlapping windows
    show a long text. A word counts only in the window that shows most around it: none is lost and none counts twice.
    """

    model_class: ClassVar[type] = AutoModelForTokenClassification
    pipeline_tag: ClassVar[str] = "token-classification"

    @property
    def texts_are_examples(self) -> bool:
        """Of one's own data; a benchmark's train part stays as it is published."""
        return bool(self.set)

    def texts(self, row: Row) -> tuple[str]:
        """The text."""
        return (row["text"],)

    def adapted(self, parts: Mapping[str, Sequence[Row]]) -> "Tagging":
        """With the entity types that the rows have, where it has none of its own."""
        if self.labels:
            return self
        types = types_of(row for part in parts.values() for row in part)
        return replace(self, labels=bio_tags(types), metric=EntityScores(types))

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Part:
        """One input a window; `places` has for each row a `Place` a word, None for a word without a token."""
        columns, windows = read_windows(tokenizer, [row["text"] for row in rows], max_length)
        places = [word_places(row["words"], shown) for row, shown in zip(rows, windows, strict=True)]
        labels = [np.full(length, IGNORED, dtype=np.int32) for length in columns["length"]]
        for row, found in zip(rows, places, strict=True):
            for tag, place in zip(row["tags"], found, strict=True):
                if place and tag and not place.shared:
                    labels[place.input][place.token] = self.labels.index(tag)
        inputs = Dataset.from_dict(columns | {"labels": labels, "size": columns["length"]})
        return Part(rows, inputs, places=places)

    def decode(self, part: Part, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """The likeliest tag of each word, and the entities in characters with the mean probability of their tags."""
        predictions = []
        for row, places in zip(part.rows, part.places, strict=True):
            tags, scores, entities = read_tags(row["text"], row["words"], places, logits, self.labels)
            score = float(scores.mean()) if places else 1.0
            predictions.append({"id": row["id"], "prediction": tags, "score": score, "entities": entities})
        return predictions

    def references(self, rows: Sequence[Row]) -> list[list[str]]:
        """The tags."""
        return [list(row["tags"]) for row in rows]

    def confusions(self, reference: Sequence[str], prediction: Sequence[str]) -> list[tuple[str, str]]:
        """The types of each word that has one."""
        pairs = [
            (right[2:] or NONE, predicted[2:] or NONE) for right, predicted in zip(reference, prediction, strict=True)
        ]
        return [pair for pair in pairs if pair != (NONE, NONE)]

    def shown(self, row: Row, answer: Sequence[str]) -> str:
        """The entities and their types."""
        words = row["words"]
        spans = [(kind, words[first][0], words[after - 1][1]) for kind, first, after in tag_spans(answer)]
        return "; ".join(f"{row['text'][start:end]} ({kind})" for kind, start, end in spans)

    def teacher_logits(self, teacher: Part, logits: Sequence[np.ndarray], student: Part) -> list[np.ndarray]:
        """The logits of each word, at the student's place of it: the tokenizers may differ."""
        moved = [np.full((length, len(self.labels)), np.nan, np.float32) for length in student.inputs["length"]]
        for teacher_places, student_places in zip(teacher.places, student.places, strict=True):
            for there, here in zip(teacher_places, student_places, strict=True):
                if there and here and not there.shared and not here.shared:
                    moved[here.input][here.token] = logits[there.input][there.token]
        return moved


def types_of(rows: Iterable[Row]) -> list[str]:
    """The entity types of some rows, sorted."""
    return sorted({tag[2:] for row in rows for tag in row["tags"] if tag not in (OUTSIDE, None)})
