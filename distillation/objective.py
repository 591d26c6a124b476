"""Outputs of both models and a batch become the named terms, as sums over their positions."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from distillation.alignment import map_by_index, mean_by_index
from distillation.arguments import ObjectiveArguments
from distillation.layers import group_means, layer_groups, mean
from distillation.losses import attention_loss, cosine_loss, hidden_mse_loss, kl_loss, mlm_loss
from distillation.student import Outputs
from distillation.vocabulary_kl import VocabularyKL

# What each term is a mean over, as the collator counts it.
COUNTED_BY = {"kl": "kl", "mlm": "mlm", "cosine": "tokens", "attention": "pairs", "hidden_mse": "tokens"}


def distillation_terms(
    student: Outputs,
    teacher: Outputs | None,
    batch: Mapping[str, Any],
    objective: ObjectiveArguments,
    vocabulary_kl: VocabularyKL | None = None,
) -> dict[str, Tensor]:
    """The sum of each term that counts over the positions of a batch, which `batch["counts"]` counts (`COUNTED_BY`).

    teacher: None where the only term is mlm. vocabulary_kl: the KL across vocabularies; the teacher's logits are then
    the states that it takes. A mean over layers is part of the sum: the count is of positions.
    """
    mask = batch["compared"]
    if teacher is not None and "teacher_index" in batch:
        student, teacher = on_teacher_positions(student, teacher, batch, objective.alignment)

    def kl() -> Tensor:
        paired = student.logits[: sum(k * count for k, count in batch["groups"])]  # the collator puts these first
        if vocabulary_kl is not None:
            return vocabulary_kl(paired, teacher.logits, batch["groups"])
        return kl_loss(paired, teacher.logits, objective.temperature, reduction="sum")

    def mlm() -> Tensor:
        first = batch["unlabelled"]  # a softmax over the vocabulary costs too much to be thrown away
        return mlm_loss(student.logits[first:], batch["labels"][first:], reduction="sum")

    sums = {
        "kl": kl,
        "mlm": mlm,
        "cosine": lambda: _cosine(student.hidden_states, teacher.hidden_states, mask, objective.cosine_layers),
        "attention": lambda: _attention(student.attentions, teacher.attentions, mask),
        "hidden_mse": lambda: _hidden_mse(student.hidden_states, teacher.hidden_states, mask, objective.hidden_layers),
    }
    return {term: sums[term]() for term in objective.terms}


def on_teacher_positions(
    student: Outputs, teacher: Outputs, batch: Mapping[str, Any], alignment: str
) -> tuple[Outputs, Outputs]:
    """Hidden states and attention maps with one position for each of the teacher's, whatever the student's tokens.

    Where a teacher token has several pieces, its state is their mean; its map is the mean over the pieces that look
    and the sum over those that are looked at, so that rows still sum to 1. With `match` the rows of both models are
    normalised over the positions that are compared.
    """
    index, length = batch["teacher_index"], batch["compared"].shape[1]
    states, maps = student.hidden_states, student.attentions
    if states is not None:
        states = tuple(mean_by_index(s, index, length) for s in states)
    if maps is not None:
        maps = tuple(map_by_index(m, index, length) for m in maps)
    theirs = teacher.attentions
    if maps is not None and alignment == "match":
        maps, theirs = ([_renormalised(m, batch["compared"]) for m in either] for either in (maps, theirs))
    return Outputs(student.logits, states, maps), Outputs(teacher.logits, teacher.hidden_states, theirs)


def _renormalised(maps: Tensor, compared: Tensor) -> Tensor:
    kept = maps.float() * compared[:, None, None, :]
    return kept / kept.sum(-1, keepdim=True).clamp(min=1e-9)


def compared_layers(objective: ObjectiveArguments, student_layers: int) -> list[int]:
    """The student layers whose hidden states a term uses."""
    if "hidden_mse" in objective.terms or ("cosine" in objective.terms and objective.cosine_layers == "groups"):
        return list(range(student_layers))
    return [student_layers - 1] if "cosine" in objective.terms else []


def _cosine(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], mask: Tensor, layers: str) -> Tensor:
    if layers == "last":
        return cosine_loss(student[-1], teacher[-1], mask, reduction="sum")
    targets = group_means(teacher, layer_groups(len(teacher), len(student)))
    return mean([cosine_loss(s, t, mask, reduction="sum") for s, t in zip(student, targets, strict=True)])


def _hidden_mse(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], mask: Tensor, layers: str) -> Tensor:
    if layers == "average":
        return hidden_mse_loss(mean(student), mean(teacher), mask, reduction="sum")
    targets = group_means(teacher, layer_groups(len(teacher), len(student)))
    return mean([hidden_mse_loss(s, t, mask, reduction="sum") for s, t in zip(student, targets, strict=True)])


def _attention(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], mask: Tensor) -> Tensor:
    targets = group_means(teacher, layer_groups(len(teacher), len(student)))
    return mean([attention_loss(s, t, mask, reduction="sum") for s, t in zip(student, targets, strict=True)])
