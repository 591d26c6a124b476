"""What a teacher says of a batch as rows of a cache, one an example and without padding, and back; see `cache.py`."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillation.config.errors import UserError
from distillation.models.teacher import Targets
from distillation.teacher_cache.storage import CHECKSUM, STATES, Row

HIDDEN, MAPS = "hidden_", "attentions"  # names of columns, the first with a view of the layers behind it


def rows_of(batch: dict[str, Any], targets: Targets) -> list[Row]:
    """What is kept of each example, the positions of its KL in the order of the text."""
    sizes, length = _lengths(batch), batch["compared"].shape[1]
    positions, order = batch["teacher_positions"].sort()
    counts = torch.bincount(positions // length, minlength=len(sizes)).tolist()
    columns = {} if targets.logits is None else {STATES: targets.logits[order].split(counts)}
    for view, states in targets.hidden_states.items():
        columns[HIDDEN + view] = [torch.stack([s[row, :size] for s in states]) for row, size in enumerate(sizes)]
    if maps := targets.attentions:
        columns[MAPS] = [torch.stack([m[row, :, :size, :size] for m in maps]) for row, size in enumerate(sizes)]
    rows = [{name: _compact(parts[row]) for name, parts in columns.items()} for row in range(len(sizes))]
    for row, checksum in zip(rows, _checksums(batch), strict=True):
        if not all(np.isfinite(values).all() for values in row.values()):
            raise UserError("`teacher_cache` holds half precision, which this teacher's states exceed: leave it out")
        row[CHECKSUM] = np.array([checksum], dtype=np.int64)
    return rows


def _compact(tensor: Tensor) -> np.ndarray:
    dtype = torch.float16 if tensor.is_floating_point() else tensor.dtype
    return tensor.to("cpu", dtype).flatten().numpy()


def _checksums(batch: dict[str, Any]) -> list[int]:
    """Of what the teacher reads of each example, and where it is asked."""
    length = batch["compared"].shape[1]
    ids = batch["teacher"]["input_ids"].cpu().numpy()
    positions = batch["teacher_positions"].sort().values.cpu().numpy()
    found = []
    for row, size in enumerate(_lengths(batch)):
        inside = positions[positions // length == row] % length
        found.append(zlib.crc32(inside.astype(np.int64).tobytes(), zlib.crc32(ids[row, :size].tobytes())))
    return found


def joined(batch: dict[str, Any], rows: Sequence[Row], student_layers: int) -> dict[str, Tensor]:
    """The rows of a batch's examples, padded as its inputs are. Raises UserError where they are of other inputs."""
    sizes, (count, length) = _lengths(batch), batch["compared"].shape
    if [int(row[CHECKSUM][0]) for row in rows] != _checksums(batch):
        raise UserError(
            "`teacher_cache` was made of other masks, by another version of this code or of numpy: remove its folder"
        )
    kept = {}
    for name in rows[0].keys() - {CHECKSUM}:
        parts = [torch.from_numpy(row[name].copy()) for row in rows]  # a map of a file cannot be written to
        if name == STATES:
            positions, together = batch["teacher_positions"], torch.cat(parts)
            together = together.reshape(len(positions), -1) if len(positions) else together[:, None]
            kept[name] = together[positions.argsort().argsort()]
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
    states = {name.removeprefix(HIDDEN): list(kept[name]) for name in kept if name.startswith(HIDDEN)}
    return Targets(kept.get(STATES), states, list(kept.get(MAPS, ())))


def _lengths(batch: dict[str, Any]) -> list[int]:
    return batch["teacher"]["attention_mask"].sum(1).tolist()
