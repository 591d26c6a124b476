"""What a teacher says of a batch as rows of a cache, one an example and without padding, and back; see `cache.py`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from distillation.cache import OF_THE_KL, Row, Rows
from distillation.masking import MaskingCollator
from distillation.teacher import Targets
from distillation.vocabulary_kl import Top

HIDDEN, MAPS = "hidden_", "attentions"  # names of columns, the first with a view of the layers behind it


def rows_of(batch: dict[str, Any], targets: Targets) -> list[Row]:
    """What is kept of each example, the positions of its KL in the order of the text."""
    sizes, length = _lengths(batch), batch["compared"].shape[1]
    columns: dict[str, list[Tensor]] = {}
    if isinstance(targets.logits, Top):
        positions, order = batch["teacher_positions"].sort()
        counts = torch.bincount(positions // length, minlength=len(sizes)).tolist()
        parts = (targets.logits.candidates, targets.logits.log_probabilities)
        columns |= {name: part[order].split(counts) for name, part in zip(OF_THE_KL, parts, strict=True)}
    for view, states in targets.hidden_states.items():
        columns[HIDDEN + view] = [torch.stack([s[row, :size] for s in states]) for row, size in enumerate(sizes)]
    if maps := targets.attentions:
        columns[MAPS] = [torch.stack([m[row, :, :size, :size] for m in maps]) for row, size in enumerate(sizes)]
    return [{name: _compact(parts[row]) for name, parts in columns.items()} for row in range(len(sizes))]


def _compact(tensor: Tensor) -> np.ndarray:
    dtype = torch.float16 if tensor.is_floating_point() else tensor.dtype
    return tensor.to("cpu", dtype).flatten().numpy()


def joined(batch: dict[str, Any], rows: Sequence[Row], student_layers: int) -> dict[str, Tensor]:
    """The rows of a batch's examples, padded as its inputs are."""
    sizes, (count, length) = _lengths(batch), batch["compared"].shape
    kept = {}
    for name in rows[0]:
        parts = [torch.from_numpy(row[name].copy()) for row in rows]  # a map of a file cannot be written to
        if name in OF_THE_KL:
            positions = batch["teacher_positions"]
            kept[name] = torch.cat(parts).reshape(len(positions), -1)[positions.argsort().argsort()]
        elif name == MAPS:
            parts = [part.reshape(student_layers, -1, size, size) for part, size in zip(parts, sizes, strict=True)]
            kept[name] = parts[0].new_zeros(student_layers, count, parts[0].shape[1], length, length)
            for row, (part, size) in enumerate(zip(parts, sizes, strict=True)):
                kept[name][:, row, :, :size, :size] = part
        else:
            views = student_layers if name == f"{HIDDEN}groups" else 1
            parts = [part.reshape(views, size, -1) for part, size in zip(parts, sizes, strict=True)]
            kept[name] = parts[0].new_zeros(views, count, length, parts[0].shape[2])
            for row, (part, size) in enumerate(zip(parts, sizes, strict=True)):
                kept[name][:, row, :size] = part
    return kept


def joined_targets(kept: dict[str, Tensor]) -> Targets:
    """What `joined` gave, as if the teacher had run."""
    top = Top(*(kept[name] for name in OF_THE_KL)) if OF_THE_KL[0] in kept else None
    states = {name.removeprefix(HIDDEN): list(kept[name]) for name in kept if name.startswith(HIDDEN)}
    return Targets(top, states, list(kept.get(MAPS, ())))


def _lengths(batch: dict[str, Any]) -> list[int]:
    return batch["teacher"]["attention_mask"].sum(1).tolist()


class CachedExamples(torch.utils.data.Dataset):
    """Examples, each with what was kept of it and with the epoch whose masks that was made with."""

    def __init__(self, examples: Dataset, epochs: Sequence[Rows]):
        self.examples = examples
        self.epochs = epochs
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that outlive an epoch

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next examples belong to."""
        self.epoch.fill_(epoch % len(self.epochs))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch = int(self.epoch)
        return self.examples[int(index)] | {"epoch": epoch, "kept": self.epochs[epoch][int(index)]}


class CachedCollator:
    """A batch as the masking collator makes it, and in `kept` what was kept of its examples."""

    def __init__(self, collate: MaskingCollator, student_layers: int):
        self.collate = collate
        self.student_layers = student_layers

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch = self.collate(examples)
        return batch | {"kept": joined(batch, [example["kept"] for example in examples], self.student_layers)}
