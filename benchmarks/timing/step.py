"""One training step of a `DistillationTrainer` and its floor, each as a call that can be timed alone."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import set_seed

from benchmarks.timing.measure import is_steady, side_by_side, time_ratio
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
        outputs, self.targets = trainer.outputs(self.student, self.batch)
        self.gradients = [torch.full_like(tensor, 1e-6) for tensor in tensors(outputs)]  # some gradient

    def inputs(self) -> dict[str, Any]:
        """A batch on the device, sent as the Trainer's loader sends it: a GPU is not waited for."""
        args, corpus = self.trainer.args, self.trainer.train_dataset
        batch = self.trainer.data_collator([corpus[row] for row in range(args.per_device_train_batch_size)])
        return send_to_device(batch, args.device, non_blocking=True)

    def step(self) -> None:
        """The Trainer's work from examples to gradients."""
        (batch,), counts = self.trainer.get_batch_samples(iter([self.inputs()]), 1, self.trainer.args.device)
        self.trainer.training_step(self.student, batch, counts)

    def floor(self) -> None:
        """The same models, forward and backward, with their heads at the positions and rows that the losses need."""
        batch, objective, targets = self.batch, self.trainer.objective, self.trainer.targets
        if targets is not None:
            targets(batch)
        if targets is not None and targets.kl is not None:  # targets are states: the floor includes their logits
            kl, groups = targets.kl, batch["groups"]
            with torch.no_grad():
                states = self.targets.predictions.values.split([count for _, count in groups])
                for (k, _), group in zip(groups, states, strict=True):
                    kl.candidates_at(k).logits(group)
        hidden, maps = objective.needs("states"), objective.needs("maps")
        outputs = self.student(batch["student"], batch["positions"], hidden, maps, len(batch["compared"]))
        torch.autograd.backward(tensors(outputs), self.gradients)

    def optimise(self) -> None:
        """The optimiser's part, which `step` leaves out."""
        self.trainer.accelerator.clip_grad_norm_(self.student.parameters(), self.trainer.args.max_grad_norm)
        self.trainer.optimizer.step()


def tensors(outputs: Outputs) -> list[Tensor]:
    """A model's outputs that are not None."""
    found = [outputs.logits, *(outputs.hidden_states or ()), *(outputs.attentions or ())]
    return [tensor for tensor in found if tensor is not None]


def build(argv: Sequence[str]) -> Step:
    """The step of the trainer that distillation/run.py would build from a command line."""
    *arguments, _, training_args = parse_recipe(*ARGUMENTS, argv=argv, training=True)
    set_seed(training_args.seed)
    run = build_run(*arguments, training_args)
    if run.trainer.targets is not None:
        run.trainer.targets.prepare(run.trainer.accelerator)
    return Step(run.trainer)


def measure(argv: Sequence[str], cached: Sequence[str] | None, rounds: int) -> dict[str, Any]:
    """A row: seconds and MiB of a step, its floor, and its other parts. cached: the command line with a cache."""
    step = build(argv)
    args = step.trainer.args
    calls = {"step": step.step, "floor": step.floor} | ({"cached": build(cached).step} if cached else {})
    measured = side_by_side(calls, rounds, args.device)
    # Measured apart: the optimiser would empty the processor's cache before the other calls.
    measured |= side_by_side({"input pipeline": step.inputs, "optimiser": step.optimise}, rounds, args.device)
    with FlopCounterMode(display=False) as counter:
        step.floor()
    seconds = {part: figures["seconds"] for part, figures in measured.items()}
    return {
        "device": str(args.device),
        "precision": "bf16" if args.bf16 else "fp32",
        "examples": args.per_device_train_batch_size,
        "seconds": seconds,
        "steady": {part: is_steady(one) for part, one in seconds.items()},
        "mib": {part: figures["mib"] for part, figures in measured.items()},
        "flops": counter.get_total_flops(),  # of the floor's matrix products
        "ratios": {f"step to {name}": time_ratio(seconds[name], seconds["step"]) for name in calls if name != "step"},
    }
