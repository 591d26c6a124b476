"""One training step of a `DistillationTrainer` and its floor, each as a call that can be timed alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import set_seed

from benchmarks.timing.measure import side_by_side, synchronise
from benchmarks.timing.rounds import is_steady, time_ratio
from distillation.assembly import build_run
from distillation.config.arguments import ARGUMENTS
from distillation.config.recipe import parse_recipe
from distillation.models.mlm_head import Outputs
from distillation.trainer import DistillationTrainer


class Step:
    """The step on one batch, and its floor on the same batch."""

    def __init__(self, trainer: DistillationTrainer):
        self.trainer = trainer
        trainer.create_optimizer()
        self.student = trainer.accelerator.prepare_model(trainer.model).train()
        self.batch = self.inputs()
        self.tokens = int(self.batch["student"]["attention_mask"].sum())
        outputs, self.targets = trainer.outputs(self.student, self.batch)
        self.gradients = [torch.full_like(tensor, 1e-6) for tensor in tensors(outputs)]  # some gradient

    def inputs(self) -> dict[str, Any]:
        """A batch as the data loader makes it, on the device."""
        trainer = self.trainer
        examples = [trainer.train_dataset[row] for row in range(trainer.args.per_device_train_batch_size)]
        return trainer._prepare_inputs(trainer.data_collator(examples))

    def step(self) -> None:
        """All that the Trainer does from examples to gradients."""
        (batch,), counts = self.trainer.get_batch_samples(iter([self.inputs()]), 1, self.trainer.args.device)
        self.trainer.training_step(self.student, batch, counts)

    def floor(self) -> None:
        """The same teacher and student, forward and backward, with their heads at the positions and rows that the
        losses need: no loss, alignment, logging, or input pipeline."""
        trainer, batch, objective = self.trainer, self.batch, self.trainer.objective
        trainer.targets(batch)
        self._teacher_rows()
        hidden, maps = objective.needs_hidden_states, objective.needs_attentions
        outputs = self.student(batch["student"], batch["positions"], hidden, maps, len(batch["compared"]))
        torch.autograd.backward(tensors(outputs), self.gradients)

    @torch.no_grad()
    def _teacher_rows(self) -> None:
        """Across vocabularies the teacher ends in states: its logits of the candidates are left."""
        kl = self.trainer.vocabulary_kl
        if kl is not None:
            groups = self.batch["groups"]
            states = self.targets.logits.split([count for _, count in groups])
            for (k, _), group in zip(groups, states, strict=True):
                kl.candidates[k if kl.is_ordered else 0].logits(group)

    def optimise(self) -> None:
        """The optimiser's part, which `step` leaves out."""
        self.trainer.accelerator.clip_grad_norm_(self.student.parameters(), self.trainer.args.max_grad_norm)
        self.trainer.optimizer.step()

    def flops(self) -> int:
        """Of the floor's matrix products."""
        with FlopCounterMode(display=False) as counter:
            self.floor()
        return counter.get_total_flops()


def tensors(outputs: Outputs) -> list[Tensor]:
    """All of a model's outputs that there are."""
    found = [outputs.logits, *(outputs.hidden_states or ()), *(outputs.attentions or ())]
    return [tensor for tensor in found if tensor is not None]


def build(argv: Sequence[str]) -> Step:
    """The step of the trainer that distillation/run.py would make of a command line."""
    *arguments, _, training_args = parse_recipe(*ARGUMENTS, argv=argv, training=True)
    set_seed(training_args.seed)
    run = build_run(*arguments, training_args)
    run.use_cache()
    return Step(run.trainer)


def measure(argv: Sequence[str], cached: Sequence[str] | None, rounds: int) -> dict[str, Any]:
    """A row: seconds and MiB of a step, its floor, and what is beside. cached: the command line with a cache."""
    step = build(argv)
    args = step.trainer.args
    whole: dict[str, Callable[[], None]] = {"step": step.step, "floor": step.floor}
    if cached:
        whole["cached"] = build(cached).step
    measured = {}
    # By turns among themselves: the optimiser leaves nothing in a processor's cache.
    for calls in (whole, {"input pipeline": step.inputs, "optimiser": step.optimise}):
        for call in calls.values():  # a first call is slower
            call()
        synchronise(args.device)
        measured |= side_by_side(calls, rounds, args.device)
    seconds = {part: figures.seconds for part, figures in measured.items()}
    return {
        "device": str(args.device),
        "precision": "bf16" if args.bf16 else "fp32",
        "examples": args.per_device_train_batch_size,
        "tokens": step.tokens,
        "seconds": seconds,
        "steady": {part: is_steady(one) for part, one in seconds.items()},
        "mib": {part: figures.mib for part, figures in measured.items()},
        "flops": step.flops(),
        "ratios": ratios(seconds),
    }


def ratios(seconds: dict[str, list[float]]) -> dict[str, dict[str, float] | None]:
    """How many times as long the step takes as its floor and, from a cache, as the step that reads it."""
    pairs = {"step to floor": "floor"} | ({"step to cached": "cached"} if "cached" in seconds else {})
    return {name: time_ratio(seconds[less], seconds["step"]) for name, less in pairs.items()}
