"""Outputs of both models and a batch become the named terms, as sums over their positions."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from distillation.arguments import ObjectiveArguments
from distillation.layers import group_means, layer_groups, mean
from distillation.losses import attention_loss, cosine_loss, hidden_mse_loss, kl_loss, mlm_loss
from distillation.student import Outputs

# What each term is a mean over, as the collator counts it.
COUNTED_BY = {"kl": "kl", "mlm": "mlm", "cosine": "tokens", "attention": "pairs", "hidden_mse": "tokens"}


def distillation_terms(
    student: Outputs, teacher: Outputs | None, batch: Mapping[str, Any], objective: ObjectiveArguments
) -> dict[str, Tensor]:
    """The sum of each term that counts over the positions of a batch, which `batch["counts"]` counts (`COUNTED_BY`).

    teacher: None where the only term is mlm. A mean over layers is part of the sum: the count is of positions.
    """
    mask = batch["student"]["attention_mask"].bool()

    def kl() -> Tensor:
        paired = student.logits[: len(teacher.logits)]  # the collator puts the positions of the KL first
        return kl_loss(paired, teacher.logits, objective.temperature, reduction="sum")

    sums = {
        "kl": kl,
        "mlm": lambda: mlm_loss(student.logits, batch["labels"], reduction="sum"),
        "cosine": lambda: _cosine(student.hidden_states, teacher.hidden_states, mask, objective.cosine_layers),
        "attention": lambda: _attention(student.attentions, teacher.attentions, mask),
        "hidden_mse": lambda: _hidden_mse(student.hidden_states, teacher.hidden_states, mask, objective.hidden_layers),
    }
    return {term: sums[term]() for term in objective.terms}


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
