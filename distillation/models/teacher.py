"""The frozen teacher, and the targets that it gives to a student: its predictions, and means of its layers."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import PreTrainedModel

from distillation.config.arguments import ObjectiveArguments
from distillation.losses import kl_loss
from distillation.models.layer_groups import means_of
from distillation.models.mlm_head import Outputs, Runner
from distillation.runs.fsdp import shard
from distillation.vocabularies.cross_vocabulary_kl import CandidateKL

Groups = Sequence[tuple[int, int]]


@dataclass
class Logits:
    """The teacher's predictions over a vocabulary that both models have: (positions, vocabulary)."""

    values: Tensor

    def compare(self, loss: Callable[..., Tensor], student: Tensor, groups: Groups, temperature: float) -> Tensor:
        """The sum of a loss over positions. student: logits (positions, vocabulary)."""
        return loss(student, self.values, temperature, reduction="sum")


@dataclass
class HeadStates:
    """The inputs of the teacher's last layer, (positions, width), of which `kl` makes logits: across vocabularies, and
    for a cache. Of a teacher whose last layer is not linear they are the logits."""

    values: Tensor
    kl: CandidateKL

    def compare(self, loss: Callable[..., Tensor], student: Tensor, groups: Groups, temperature: float) -> Tensor:
        """The sum of the KL over positions; `groups` as in `CandidateKL`."""
        if loss is not kl_loss:
            raise NotImplementedError(f"{loss.__name__} across vocabularies or from a cache")
        return self.kl(student, self.values, groups, temperature)

    def sample(self, groups: Groups, temperature: float, shares: Tensor) -> "Samples":
        """What a cache stores in their place; shares: (positions,) random numbers in [0, 1)."""
        return Samples(self.kl.sample(self.values, groups, temperature, shares), self.kl, temperature)


@dataclass
class Samples:
    """Predictions at one temperature, as rows (positions, bytes) of `SampledPredictions`."""

    values: Tensor
    kl: CandidateKL
    temperature: float

    def compare(self, loss: Callable[..., Tensor], student: Tensor, groups: Groups, temperature: float) -> Tensor:
        """An unbiased estimate of the KL, summed over positions; its gradient is unbiased as well."""
        if loss is not kl_loss or temperature != self.temperature:
            raise NotImplementedError(f"{loss.__name__} at T = {temperature} from samples at {self.temperature}")
        return self.kl(student, self.values, groups, temperature, sampled=True)


@dataclass
class Targets:
    """The teacher's part of what the terms compare.

    * `predictions`: at the positions of the KL; None where no term needs them;
    * `hidden_states`: for each way to compare layers (`ObjectiveArguments.hidden_views`), tensors (batch, length,
      width);
    * `attentions`: the mean maps (batch, heads, length, length) of each student layer's group.
    """

    predictions: Logits | HeadStates | Samples | None
    hidden_states: dict[str, list[Tensor]]
    attentions: list[Tensor]


def targets_of(
    outputs: Outputs, objective: ObjectiveArguments, student_layers: int, kl: CandidateKL | None = None
) -> Targets:
    """The targets in a teacher's outputs. kl: as in `LiveTargets`."""
    predictions = None
    if objective.needs("predictions"):
        predictions = Logits(outputs.logits) if kl is None else HeadStates(outputs.logits, kl)
    states = {view: means_of(outputs.hidden_states, view, student_layers) for view in objective.hidden_views}
    maps = [] if outputs.attentions is None else means_of(outputs.attentions, "groups", student_layers)
    return Targets(predictions, states, maps)


class LiveTargets:
    """Runs the teacher on every batch, without gradients, with its head at the positions of the KL."""

    def __init__(
        self,
        model: PreTrainedModel,
        objective: ObjectiveArguments,
        student_layers: int,
        kl: CandidateKL | None = None,
        projection: str | None = None,
    ):
        """kl: compares `HeadStates`; None to compare `Logits`. projection: the last layer's name if it is linear; it
        does not run."""
        self.model = model.eval().requires_grad_(False)
        self.objective, self.student_layers, self.kl = objective, student_layers, kl
        self.runner = Runner(model, without=projection)

    def prepare(self, accelerator: Accelerator) -> None:
        """Before training: shard the teacher with FSDP. Until then one process alone can run it."""
        if accelerator.distributed_type == "FSDP":
            shard(self.model, accelerator.device.type, accelerator.num_processes)

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> Targets:
        """batch: of a `MaskingCollator`."""
        needed = self.objective.needs("states"), self.objective.needs("maps")
        outputs = self.runner(batch["teacher"], batch["teacher_positions"], *needed)
        return targets_of(outputs, self.objective, self.student_layers, self.kl)


def identity(model: nn.Module, config: Mapping[str, Any]) -> Iterator[Any]:
    """What a cache knows the teacher by that filled it: the part of its config that decides what it computes, and the
    names and bytes of its weights."""
    others = ("_name_or_path", "transformers_version", "dtype", "architectures")
    deciding = {name: value for name, value in config.items() if name not in others}
    yield json.dumps(deciding, sort_keys=True, default=str).encode()
    for name, weight in sorted(model.state_dict().items()):
        yield name.encode()
        yield weight.cpu().flatten().view(torch.uint8).numpy()  # numpy has no bf16
