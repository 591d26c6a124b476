"""The masking collator: examples become a batch for both models, with the positions and labels that the terms need."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from distillation.config.arguments import MaskingArguments, ObjectiveArguments
from distillation.vocabularies.mapping import VocabularyMap, vocabulary_size

KEEP, MASK, RANDOM, UNCHANGED = 0, 1, 2, 3  # UNCHANGED: drawn, to be predicted, but left as it is
EVALUATION_SEED = 2205  # held-out text is masked alike in every evaluation of every run
COUNTS = ("kl", "mlm", "tokens", "pairs", "read")  # positions of the terms; `read`: tokens of the student's own input


class MaskingCollator:
    """Masks and pads. The masks depend on (seed, epoch, example id) alone, not on the batch, rank, or worker.

    A batch of B examples holds
    * `student`, `teacher`: the models' inputs. The student's has B rows; with `reduce` B more, the teacher's tokens in
      student pieces. The last B rows are those that are compared with the teacher's;
    * `positions` (n,): indices into the student's flattened rows x length at which it needs logits;
    * `labels` (n,): the true tokens there, -100 at the first `unlabelled` of them, where nothing was hidden;
    * `teacher_positions` (m,): where the teacher needs logits, into its flattened batch x length;
    * `groups`: pairs (k, count): each of the next `count` of `teacher_positions` has k student positions. In the same
      order these are the first of `positions`;
    * `compared` (B, teacher length): True where hidden states and attention maps are compared;
    * `compared_positions` (p,): these positions as indices into the teacher's flattened batch x length;
    * `teacher_index` (B, student length): across vocabularies, the teacher's position that each student position
      belongs to, or -1;
    * `counts` (5,): the number of positions that each term is a sum over, named by `COUNTS`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        masking: MaskingArguments,
        objective: ObjectiveArguments,
        seed: int,
        token_weights: np.ndarray | None = None,
        teacher_tokenizer: PreTrainedTokenizerBase | None = None,
        vocabulary: VocabularyMap | None = None,
    ):
        """token_weights: (vocabulary,) relative chances, from `rarity_weights`; by default all are equal.

        teacher_tokenizer, vocabulary: across vocabularies, the teacher's tokenizer and the pieces of its tokens.
        """
        self.masking = masking
        self.objective = objective
        self.seed = seed
        self.token_weights = token_weights
        self.student = TokenHider(tokenizer)
        self.teacher = self.student if teacher_tokenizer is None else TokenHider(teacher_tokenizer)
        self.alignment = objective.alignment_in_use
        self.vocabulary = vocabulary
        self.is_comparable = None if vocabulary is None else vocabulary.is_mapped.numpy()
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that outlive an epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next batches."""
        self.epoch.fill_(epoch)

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        masked = []
        for example in examples:
            epoch = example.get("epoch", int(self.epoch))  # an example of a stream or a cache names its own
            generator = np.random.default_rng((self.seed, epoch, example["id"]))
            ids, word_ids = np.asarray(example["input_ids"]), np.asarray(example["word_ids"])
            in_word, weights = word_ids[word_ids >= 0], None
            if self.token_weights is not None:  # a word's weight is the mean of its tokens'
                sums = np.bincount(in_word, weights=self.token_weights[ids[word_ids >= 0]])
                weights = sums / np.maximum(np.bincount(in_word), 1)
            words = int(in_word.max(initial=-1)) + 1
            actions = draw_actions(words, weights, self.masking.masking_probability, generator)
            own = _of_words(actions, word_ids)
            hidden = self.student.hide(ids, own, generator)
            if self.alignment == "same":
                others = self._read_same(ids, own, hidden, generator)
            else:
                read = self._read_match if self.alignment == "match" else self._read_reduce
                others = read(example, actions, generator)
            masked.append(MaskedExample(hidden, np.where(own == KEEP, -100, ids), *others))
        return self._batch(masked)

    def _read_same(self, ids, own, hidden, generator) -> tuple:
        """Both models read the same tokens. Each `_read_*` returns the fields of `MaskedExample` after `labels`."""
        chosen = self.student.is_ordinary[ids]  # a teacher cannot tell anything about a word unknown to it
        kl = np.flatnonzero(self._kl(chosen, own, generator))
        shown = hidden if self.objective.teacher_input == "masked" else ids
        return shown, np.ones(len(ids), bool), kl, kl, np.ones(len(kl), int)

    def _read_match(self, example, actions, generator) -> tuple:
        """Each model reads its own tokens; the student's are compared where the teacher has the same one."""
        teacher_ids, teacher_actions, shown = self._read_teacher(example, actions, generator)
        matches = np.asarray(example["matches"])
        compared = np.zeros(len(teacher_ids), bool)
        compared[matches[matches >= 0]] = True
        compared &= teacher_actions != RANDOM  # each model would see another word
        chosen = self._kl(compared & self.is_comparable[teacher_ids], teacher_actions, generator)
        kl = np.flatnonzero((matches >= 0) & chosen[matches])
        return shown, compared, matches[kl], kl, np.ones(len(kl), int), matches

    def _read_reduce(self, example, actions, generator) -> tuple:
        """The student also reads the teacher's tokens, each in its own pieces and hidden as the token is."""
        teacher_ids, teacher_actions, shown = self._read_teacher(example, actions, generator)
        spellings = torch.as_tensor(example["spellings"])
        sizes = self.vocabulary.sizes[spellings].numpy()
        pieces = self.vocabulary.spell(spellings).numpy()
        labelled = (teacher_actions != KEEP).repeat(sizes) & (self.objective.mlm_inputs == "both")
        labels = np.where(labelled, pieces, -100)
        compared = np.asarray(example["comparable"])
        if self.objective.teacher_input == "masked":
            pieces = self.student.hide(pieces, teacher_actions.repeat(sizes), generator)
            compared = compared & (teacher_actions != RANDOM)  # each model would see another word
        kl = np.flatnonzero(self._kl(compared & self.is_comparable[teacher_ids], teacher_actions, generator))
        index, starts = np.arange(len(teacher_ids)).repeat(sizes), sizes.cumsum() - sizes
        return shown, compared, kl, starts[kl], sizes[kl], index, pieces, labels

    def _read_teacher(self, example, actions, generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The teacher's tokens, what happens to each, and its input."""
        ids = np.asarray(example["teacher_input_ids"])
        actions = _of_words(actions, np.asarray(example["teacher_word_ids"]))
        clean = self.objective.teacher_input == "clean"
        return ids, actions, ids if clean else self.teacher.hide(ids, actions, generator)

    def _kl(self, chosen: np.ndarray, actions: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Which of the `chosen` positions, where a KL is possible, are used."""
        if not self.objective.needs("predictions"):
            return np.zeros(len(chosen), dtype=bool)
        if self.objective.kl_positions == "masked":
            chosen = chosen & (actions != KEEP)
        if self.objective.kl_position_fraction < 1:
            chosen = chosen & (generator.random(len(chosen)) < self.objective.kl_position_fraction)
        return chosen

    def _batch(self, masked: list["MaskedExample"]) -> dict[str, Any]:
        pieces = [one for one in masked if one.pieces is not None]
        student = _inputs([one.student for one in masked] + [one.pieces for one in pieces], self.student.pad_token_id)
        teacher = _inputs([one.teacher for one in masked], self.teacher.pad_token_id)
        length, teacher_length = student["input_ids"].shape[1], teacher["input_ids"].shape[1]
        labels = [one.labels for one in masked] + [one.piece_labels for one in pieces]
        labels = _padded(labels, -100, length).ravel()
        starts = _flat([one.kl_starts for one in masked], len(pieces), length)
        sizes = np.concatenate([one.kl_sizes for one in masked])
        hidden = labels != -100
        labelled = hidden.sum()
        order = np.lexsort((hidden[starts], sizes))  # labelled rows last: with a KL only one input has labels
        sizes, starts = sizes[order], starts[order]
        kl = starts.repeat(sizes) + np.arange(sizes.sum()) - (sizes.cumsum() - sizes).repeat(sizes)
        if not self.objective.needs("labels"):
            hidden[:] = False
        hidden[kl] = False  # these have their places already
        positions = np.concatenate([kl, np.flatnonzero(hidden)])
        compared = _padded([one.compared for one in masked], False, teacher_length)
        read = student["attention_mask"][: len(masked)].sum()
        counts = {"kl": len(sizes), "mlm": labelled, "tokens": compared.sum(), "read": read}
        counts["pairs"] = np.square(compared.sum(1)).sum()
        batch = {
            "student": student,
            "teacher": teacher,
            "positions": torch.from_numpy(positions),
            "labels": torch.from_numpy(labels[positions]),
            "unlabelled": int((labels[kl] == -100).sum()),
            "teacher_positions": torch.from_numpy(_flat([one.kl for one in masked], 0, teacher_length)[order]),
            "groups": tuple(zip(*(a.tolist() for a in np.unique(sizes, return_counts=True)), strict=True)),
            "compared": torch.from_numpy(compared),
            "compared_positions": torch.from_numpy(np.flatnonzero(compared)),  # here: a GPU would have to wait
            "counts": torch.tensor([counts[name] for name in COUNTS], dtype=torch.int64),
        }
        if self.alignment != "same":
            batch["teacher_index"] = torch.from_numpy(_padded([one.teacher_index for one in masked], -1, length))
        return batch


@dataclass
class MaskedExample:
    """The inputs of both models for one example, and where they are compared."""

    student: np.ndarray  # tokens of the student's own input
    labels: np.ndarray  # the true tokens there, -100 where nothing is hidden
    teacher: np.ndarray  # tokens of the teacher's input
    compared: np.ndarray  # whether each of them is compared
    kl: np.ndarray  # the positions among them at which the KL is taken
    kl_starts: np.ndarray  # for each of these, where its student tokens start,
    kl_sizes: np.ndarray  # and how many there are
    teacher_index: np.ndarray | None = None  # for each token of the compared student input, the teacher's
    pieces: np.ndarray | None = None  # tokens of the student's second input
    piece_labels: np.ndarray | None = None  # the true tokens there, with `mlm_inputs: both`


class TokenHider:
    """Replaces hidden tokens by mask tokens or by random ones."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.pad_token_id = tokenizer.pad_token_id
        self.mask_token_id = tokenizer.mask_token_id
        self.is_ordinary = np.zeros(vocabulary_size(tokenizer), dtype=bool)
        self.is_ordinary[[*tokenizer.get_vocab().values()]] = True  # ids may have gaps
        self.is_ordinary[tokenizer.all_special_ids] = False
        self.ordinary_ids = np.flatnonzero(self.is_ordinary)

    def hide(self, ids: np.ndarray, actions: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The tokens as a model sees them."""
        hidden = np.where(actions == MASK, self.mask_token_id, ids)
        replaced = actions == RANDOM
        hidden[replaced] = generator.choice(self.ordinary_ids, size=int(replaced.sum()))
        return hidden


def _of_words(actions: np.ndarray, word_ids: np.ndarray) -> np.ndarray:
    """The action of each token: its word's, or KEEP for special tokens."""
    return np.where(word_ids >= 0, np.append(actions, KEEP)[word_ids], KEEP)


def _inputs(rows: list[np.ndarray], pad_token_id: int) -> dict[str, Tensor]:
    length = max(map(len, rows))
    mask = _padded([np.ones(len(row), int) for row in rows], 0, length)
    return {
        "input_ids": torch.from_numpy(_padded(rows, pad_token_id, length)),
        "attention_mask": torch.from_numpy(mask),
    }


def _padded(rows: list[np.ndarray], fill: int, length: int) -> np.ndarray:
    """Rows as one array, padded with `fill`."""
    padded = np.full((len(rows), length), fill)
    for row, values in enumerate(rows):
        padded[row, : len(values)] = values
    return padded


def _flat(positions: list[np.ndarray], first_row: int, length: int) -> np.ndarray:
    """Positions of consecutive rows as indices into the flattened rows x length."""
    return np.concatenate([inside + (first_row + row) * length for row, inside in enumerate(positions)])


def draw_actions(
    words: int, weights: np.ndarray | None, probability: float, generator: np.random.Generator
) -> np.ndarray:
    """For each word KEEP, MASK (80 % of those drawn), RANDOM (10 %), or UNCHANGED (10 %).

    probability: the expected share drawn. The number drawn is that share rounded up or down at random: of a short text
    sometimes a word is drawn, sometimes none. weights: (words,) relative chances, without replacement.
    """
    actions = np.full(words, KEEP)
    expected = words * probability
    count = int(expected) + (generator.random() < expected % 1)
    if count:
        arrivals = generator.exponential(size=words)  # the smallest are a weighted draw without replacement
        drawn = np.argsort(arrivals if weights is None else arrivals / weights)[:count]
        actions[drawn] = generator.choice([MASK, RANDOM, UNCHANGED], size=count, p=[0.8, 0.1, 0.1])
    return actions


def make_collators(
    tokenizers: Sequence[PreTrainedTokenizerBase],
    vocabulary: VocabularyMap | None,
    masking: MaskingArguments,
    objective: ObjectiveArguments,
    sample: Dataset,
    seed: int,
) -> tuple[MaskingCollator, MaskingCollator]:
    """The collators for training, with masks of this seed, and for evaluation, with the same masks in every run.

    tokenizers: the student's, and a teacher's with another vocabulary; sample: training examples, whose rare tokens
    are drawn more often with `rarity_smoothing`.
    """
    weights, (tokenizer, *others) = None, tokenizers
    if masking.rarity_smoothing:
        weights = rarity_weights(sample, vocabulary_size(tokenizer), masking.rarity_smoothing)
    across = dict(teacher_tokenizer=others[0] if others else None, vocabulary=vocabulary)
    make = functools.partial(MaskingCollator, tokenizer, masking, objective, **across)
    return make(seed, weights), make(EVALUATION_SEED)


def rarity_weights(examples: Dataset, vocabulary: int, exponent: float) -> np.ndarray:
    """Weights count ** -exponent of the tokens of a corpus (Lample and Conneau 2019 with exponent 0.7)."""
    counts = token_counts(examples, vocabulary)
    return np.maximum(counts, 1) ** -exponent


def token_counts(examples: Dataset, vocabulary: int) -> np.ndarray:
    """How often each token of a vocabulary occurs in examples."""
    counts = np.zeros(vocabulary)
    for batch in examples.select_columns("input_ids").with_format("arrow").iter(batch_size=10_000):
        counts += np.bincount(pc.list_flatten(batch["input_ids"]).to_numpy(), minlength=vocabulary)
    return counts
