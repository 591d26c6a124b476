"""Computes each term, as a sum over its positions, from the student's outputs, the teacher's targets, and a batch."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from distillation import losses
from distillation.config.arguments import ObjectiveArguments
from distillation.config.terms import TERMS
from distillation.models.layer_groups import mean, means_of
from distillation.models.mlm_head import Outputs
from distillation.models.teacher import Targets
from distillation.vocabularies.token_pooling import pool_attention, pool_states


def distillation_terms(
    student: Outputs,
    targets: Targets | None,
    batch: Mapping[str, Any],
    objective: ObjectiveArguments,
) -> dict[str, Tensor]:
    """The sum of each term over the positions that `batch["counts"]` counts. Terms of several layers are averaged.

    targets: None if no term needs the teacher.
    """
    if targets is not None and "teacher_index" in batch:
        student, targets = on_teacher_positions(student, targets, batch, objective.alignment)

    paired = labelled = None
    if student.logits is not None:  # the collator puts rows of the KL first, and rows with a label last
        rows = sum(k * count for k, count in batch["groups"])
        paired, labelled = _Overlapping.apply(student.logits, rows, batch["unlabelled"])

    def at_compared(layers: Iterable[Tensor]) -> list[Tensor]:
        return [states.flatten(0, 1).index_select(0, batch["compared_positions"]) for states in layers]

    def total(term: str) -> Tensor:
        loss, needs = getattr(losses, f"{term}_loss"), TERMS[term].needs
        if needs == "labels":
            labels = batch["labels"][batch["unlabelled"] :]
            if term == "mlm":  # every row has a label: `mlm_loss` would check, and wait for a GPU
                return F.cross_entropy(labelled.float(), labels, reduction="sum")
            return loss(labelled, labels, reduction="sum")
        if needs == "maps":
            loss = functools.partial(loss, mask=batch["compared"])
            return _over_layers(loss, student.attentions, targets.attentions)
        if needs == "states":
            view = objective.view(term)
            states = means_of(student.hidden_states, view, len(student.hidden_states))
            return _over_layers(loss, *map(at_compared, (states, targets.hidden_states[view])))
        return targets.predictions.compare(loss, paired, batch["groups"], objective.temperature)

    return {term: total(term) for term in objective.terms}


class _Overlapping(torch.autograd.Function):
    """The first rows, up to `end`, and the last, from `start` <= `end` on. Autograd would make two gradients of all
    rows and add them, which for logits costs as much as a loss."""

    @staticmethod
    def forward(ctx, rows: Tensor, end: int, start: int) -> tuple[Tensor, Tensor]:
        ctx.end, ctx.start = end, start
        return rows[:end], rows[start:]

    @staticmethod
    @once_differentiable
    def backward(ctx, first: Tensor, last: Tensor) -> tuple[Tensor, None, None]:
        shared = ctx.end - ctx.start
        gradient = torch.cat([first, last[shared:]])
        gradient[ctx.start : ctx.end] += last[:shared]
        return gradient, None, None


def _over_layers(loss: Callable[..., Tensor], student: Iterable[Tensor], teacher: Iterable[Tensor]) -> Tensor:
    return mean([loss(s, t, reduction="sum") for s, t in zip(student, teacher, strict=True)])


def on_teacher_positions(
    student: Outputs, targets: Targets, batch: Mapping[str, Any], alignment: str
) -> tuple[Outputs, Targets]:
    """Hidden states and attention maps at the teacher's positions.

    The state of a teacher token with several pieces is the mean of theirs. Its attention is the mean over the pieces
    as queries and the sum over them as keys, so that rows still sum to 1. With `match` the rows of both models are
    normalised over the positions that are compared.
    """
    at = batch["teacher_index"], batch["compared"].shape[1]
    states = student.hidden_states and tuple(pool_states(layer, *at) for layer in student.hidden_states)
    maps, teacher_maps = student.attentions, targets.attentions
    if maps is not None:
        maps = [pool_attention(layer, *at) for layer in maps]
        if alignment == "match":
            maps, teacher_maps = ([_renormalised(m, batch["compared"]) for m in of] for of in (maps, teacher_maps))
    return Outputs(student.logits, states, maps), Targets(targets.predictions, targets.hidden_states, teacher_maps)


def _renormalised(maps: Tensor, compared: Tensor) -> Tensor:
    pairs = compared[:, None, :, None] & compared[:, None, None, :]
    kept = maps.float().masked_fill(~pairs, 0)  # not a product: 0 * NaN is NaN
    return kept / kept.sum(-1, keepdim=True).clamp(min=1e-9)


def compared_layers(objective: ObjectiveArguments, student_layers: int) -> list[int]:
    """The student layers whose hidden states a term uses."""
    if {"groups", "average"} & set(objective.hidden_views):
        return list(range(student_layers))
    return [student_layers - 1] if objective.hidden_views else []
