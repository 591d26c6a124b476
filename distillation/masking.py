"""The masking collator: examples become a batch for both models, with the positions and labels that the terms need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from distillation.arguments import MaskingArguments, ObjectiveArguments

KEEP, MASK, RANDOM, SHOW = 0, 1, 2, 3  # SHOW: drawn, to be predicted, but left as it is
EVALUATION_SEED = 2205  # held-out text is masked alike in every evaluation of every run
COUNTS = ("kl", "mlm", "tokens", "pairs")


class MaskingCollator:
    """Draws what to hide anew in each epoch, and pads.

    The draw depends on (seed, epoch, example id) alone: not on the batch, the rank, the worker, or a resumption.

    A batch holds
    * `student`, `teacher`: the models' inputs, each (batch, length);
    * `positions` (n,): indices into the flattened batch x length at which the student needs logits;
    * `labels` (n,): the true tokens there, -100 where nothing was hidden;
    * `teacher_positions` (m,): where the teacher needs logits; they are those of the first m `positions`;
    * `counts` (4,): how many positions each term is a sum over, named by `COUNTS`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        masking: MaskingArguments,
        objective: ObjectiveArguments,
        seed: int,
        token_weights: np.ndarray | None = None,
    ):
        """token_weights: (vocabulary,) chances relative to each other, from `rarity_weights`; even unless given."""
        self.masking = masking
        self.objective = objective
        self.seed = seed
        self.token_weights = token_weights
        self.pad_token_id = tokenizer.pad_token_id
        self.mask_token_id = tokenizer.mask_token_id
        self.is_ordinary = ~np.isin(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        self.ordinary_ids = np.flatnonzero(self.is_ordinary)
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that outlive an epoch

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next batches belong to."""
        self.epoch.fill_(epoch)

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        length = max(len(example["input_ids"]) for example in examples)
        shape = (len(examples), length)
        clean = np.full(shape, self.pad_token_id)
        masked = clean.copy()
        attention_mask = np.zeros(shape, dtype=np.int64)
        labels = np.full(shape, -100)
        kl = np.zeros(shape, dtype=bool)
        for row, example in enumerate(examples):
            ids = np.asarray(example["input_ids"])
            columns = slice(len(ids))
            generator = np.random.default_rng((self.seed, int(self.epoch), example["id"]))
            actions = self._token_actions(ids, np.asarray(example["units"]), generator)
            clean[row, columns] = ids
            masked[row, columns] = self._hide(ids, actions, generator)
            attention_mask[row, columns] = 1
            labels[row, columns] = np.where(actions == KEEP, -100, ids)
            kl[row, columns] = self._kl_positions(ids, actions, generator)
        kl_positions = np.flatnonzero(kl)
        hidden = (labels != -100) & ("mlm" in self.objective.terms)
        positions = np.concatenate([kl_positions, np.flatnonzero(hidden & ~kl)])
        tokens = attention_mask.sum(1)
        counts = [len(kl_positions), (labels != -100).sum(), tokens.sum(), np.square(tokens).sum()]
        shown = masked if self.objective.teacher_input == "masked" else clean
        return {
            "student": {"input_ids": torch.from_numpy(masked), "attention_mask": torch.from_numpy(attention_mask)},
            "teacher": {"input_ids": torch.from_numpy(shown), "attention_mask": torch.from_numpy(attention_mask)},
            "positions": torch.from_numpy(positions),
            "labels": torch.from_numpy(labels.ravel()[positions]),
            "teacher_positions": torch.from_numpy(kl_positions),
            "counts": torch.tensor(counts, dtype=torch.int64),
        }

    def _token_actions(self, ids: np.ndarray, units: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """What happens to each token. Every token of a unit shares the unit's fate; special tokens have none."""
        weights = None
        if self.token_weights is not None:
            inside = units >= 0
            sizes = np.bincount(units[inside])
            weights = np.bincount(units[inside], weights=self.token_weights[ids[inside]]) / np.maximum(sizes, 1)
        actions = draw_actions(int(units.max(initial=-1)) + 1, weights, self.masking.masking_probability, generator)
        return np.where(units >= 0, np.append(actions, KEEP)[units], KEEP)

    def _hide(self, ids: np.ndarray, actions: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        hidden = np.where(actions == MASK, self.mask_token_id, ids)
        replaced = actions == RANDOM
        hidden[replaced] = generator.choice(self.ordinary_ids, size=int(replaced.sum()))
        return hidden

    def _kl_positions(self, ids: np.ndarray, actions: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if "kl" not in self.objective.terms:
            return np.zeros(len(ids), dtype=bool)
        chosen = self.is_ordinary[ids]  # a teacher has nothing to say about a word unknown to it
        if self.objective.kl_positions == "masked":
            chosen = chosen & (actions != KEEP)
        if self.objective.kl_position_fraction < 1:
            chosen = chosen & (generator.random(len(ids)) < self.objective.kl_position_fraction)
        return chosen


def draw_actions(
    units: int, weights: np.ndarray | None, probability: float, generator: np.random.Generator
) -> np.ndarray:
    """For each unit KEEP, MASK (80 % of those drawn), RANDOM (10 %), or SHOW (10 %).

    probability: the expected share drawn. The number drawn is that share rounded up or down at random, so that
    short texts are neither always nor never touched. weights: (units,) relative chances, without replacement.
    """
    actions = np.full(units, KEEP)
    expected = units * probability
    count = int(expected) + (generator.random() < expected % 1)
    if count:
        arrivals = generator.exponential(size=units)  # the first `count` of a race: weighted, without replacement
        drawn = np.argsort(arrivals if weights is None else arrivals / weights)[:count]
        actions[drawn] = generator.choice([MASK, RANDOM, SHOW], size=count, p=[0.8, 0.1, 0.1])
    return actions


def rarity_weights(examples: Dataset, vocabulary: int, exponent: float) -> np.ndarray:
    """Weights count ** -exponent of the tokens of a corpus (Lample and Conneau 2019 with exponent 0.7)."""
    counts = np.zeros(vocabulary)
    for batch in examples.select_columns("input_ids").with_format("arrow").iter(batch_size=10_000):
        counts += np.bincount(pc.list_flatten(batch["input_ids"]).to_numpy(), minlength=vocabulary)
    return np.maximum(counts, 1) ** -exponent
