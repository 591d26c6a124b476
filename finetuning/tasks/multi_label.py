"""Classification of a text by several labels at once, each of which holds or not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.metrics import precision_recall_curve
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from finetuning.deployed.model import softmax
from finetuning.tasks.base import NONE, Part, Row
from finetuning.tasks.classification import TextClassification
from finetuning.tasks.losses import IGNORED


@dataclass(frozen=True, kw_only=True)
class MultiLabel(TextClassification):
    """As `label` rows have a tuple of those that hold, perhaps empty; None if they are not known.

    Each label is a place of its own with two classes, absent and present, whose scores are 0 and the logit: the
    softmax of these is the sigmoid of the logit.
    """

    thresholds: tuple[float, ...] = ()  # a label holds where its probability reaches its threshold; 0.5 unless fitted

    def load_model(self, name_or_path: str, random_weights: bool = False) -> PreTrainedModel:
        """As for one label. The config tells `transformers.pipeline` that each has its own sigmoid."""
        model = super().load_model(name_or_path, random_weights)
        model.config.problem_type = "multi_label_classification"
        return model

    def labels_of(self, rows: Sequence[Row]) -> list[str]:
        """All labels of all rows."""
        return [label for row in rows for label in row["label"] or ()]

    def targets(self, rows: Sequence[Row]) -> list[list[int]]:
        """For each row and label 1 if it holds, else 0."""
        unknown = [IGNORED] * len(self.labels)
        return [
            unknown if row["label"] is None else [int(label in row["label"]) for label in self.labels] for row in rows
        ]

    def scores(self, logits: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(batch, labels, 2): of the absence and the presence of each label."""
        return torch.stack([torch.zeros_like(logits), logits], -1)

    def fitted(self, part: Part, logits: Sequence[np.ndarray]) -> "MultiLabel":
        """With the threshold of each label that gives it the best F1 on this part."""
        held, probabilities = np.array(self.targets(part.rows)), self.probabilities(logits)
        return replace(self, thresholds=tuple(map(best_threshold, held.T, probabilities.T)))

    @property
    def config(self) -> dict[str, Any]:
        """The thresholds by label, too."""
        found = {"thresholds": dict(zip(self.labels, self.thresholds, strict=True))} if self.thresholds else {}
        return super().config | found

    def configured(self, config: PreTrainedConfig) -> "MultiLabel":
        """With the thresholds of a saved model."""
        return replace(self, thresholds=tuple(config.thresholds[label] for label in self.labels))

    def probabilities(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        """(inputs, labels): that a label holds."""
        return softmax(self.scores(torch.from_numpy(np.stack(logits)), None).numpy())[..., 1]

    def decode(self, part: Part, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """The labels that hold, sorted as in a row; the probability of just this answer as `score`, and that of each
        label in `scores`."""
        probabilities = self.probabilities(logits)
        holds = probabilities >= np.array(self.thresholds or [0.5])
        scores = np.where(holds, probabilities, 1 - probabilities).prod(-1).tolist()
        return [
            {
                "id": row["id"],
                "prediction": tuple(sorted(label for label, one in zip(self.labels, holds[n], strict=True) if one)),
                "score": scores[n],
                "scores": dict(zip(self.labels, probabilities[n].tolist(), strict=True)),
            }
            for n, row in enumerate(part.rows)
        ]

    def confusions(self, reference: Sequence[str], prediction: Sequence[str]) -> list[tuple[str, str]]:
        """A pair for each label that holds or is predicted."""
        return [
            (label if label in reference else NONE, label if label in prediction else NONE)
            for label in self.labels
            if label in (*reference, *prediction)
        ]


def best_threshold(held: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the best F1, half-way to the next lower probability; 0.5 where the label never holds.

    held: 1 where the label holds, else 0; probabilities: that it does. Both (texts,).
    """
    if not held.any():
        return 0.5
    precision, recall, thresholds = precision_recall_curve(held, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(f1[:-1].argmax())  # the last pair is of no prediction at all
    return float(thresholds[best] + (thresholds[best - 1] if best else 0.0)) / 2
