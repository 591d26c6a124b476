"""One training step of a `DistillationTrainer`, and its parts, each as a call that can be timed alone."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from distillation.models.student import Outputs, Runner
from distillation.models.teacher import targets_of
from distillation.objective import distillation_terms
from distillation.trainer import DistillationTrainer
from distillation.vocabularies.cross_vocabulary_kl import VocabularyKL


class Step:
    """The step on one batch, and on the same batch its parts, its floor, and the usual way to compute it."""

    def __init__(self, trainer: DistillationTrainer):
        self.trainer = trainer
        trainer.create_optimizer()
        self.student = trainer.accelerator.prepare_model(trainer.model).train()
        self.rows = range(trainer.args.per_device_train_batch_size)
        self.batch = self.inputs()
        self.tokens = int(self.batch["student"]["attention_mask"].sum())
        self.objective = trainer.objective
        self.layers = trainer.model.config.num_hidden_layers
        self.outputs = trainer.outputs(self.student, self.batch)
        self.gradients = self._gradients(self.outputs[0])

    def parts(self) -> dict[str, Callable[[], Any]]:
        """What a step is made of, in order; `losses` are forward and backward."""
        student, targets = self.outputs
        held = tensors(student)
        leaves = Outputs(*(_detached(part) for part in vars(student).values()))

        def losses() -> Tensor:
            terms = distillation_terms(leaves, targets, self.batch, self.objective, self.trainer.vocabulary_kl)
            loss = sum(self.objective.weight(name) * value for name, value in terms.items())
            loss.backward()
            return loss

        return {
            "input pipeline": self.inputs,
            "teacher": lambda: self.trainer.targets(self.batch),
            "student": self._student,
            "losses": losses,
            "backward": lambda: torch.autograd.backward(held, self.gradients, retain_graph=True),
            "optimiser": self._optimise,
        }

    def whole(self) -> dict[str, Callable[[], Any]]:
        """The step without its optimiser, its floor, and the same loss through full-vocabulary logits. Of a trainer
        that reads a cache only the step."""
        return {"step": self._step, "floor": self._floor, "full vocabulary": self._full_vocabulary}

    def inputs(self) -> dict[str, Any]:
        """A batch as the data loader makes it, on the device."""
        trainer = self.trainer
        return trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[i] for i in self.rows]))

    def flops(self) -> int:
        """Of the floor's matrix products."""
        with FlopCounterMode(display=False) as counter:
            self._floor()
        return counter.get_total_flops()

    def loss(self) -> Tensor:
        """As the step has it."""
        return self.trainer.compute_loss(self.student, self.batch)

    def full_vocabulary_loss(self) -> Tensor:
        """The same from the logits at all positions and for all tokens."""
        trainer, batch = self.trainer, self.batch
        hidden, maps = self.objective.needs_hidden_states, self.objective.needs_attentions
        size = batch["student"]["input_ids"].numel()
        everywhere = torch.arange(size, device=batch["positions"].device)
        with trainer.compute_loss_context_manager():
            student = self.student(batch["student"], everywhere, hidden, maps, len(batch["compared"]))
            with torch.no_grad():
                everywhere = torch.arange(batch["teacher"]["input_ids"].numel(), device=everywhere.device)
                teacher = self.teacher_runner(batch["teacher"], everywhere, hidden, maps)
            student.logits = student.logits[batch["positions"]]
            teacher.logits = teacher.logits[batch["teacher_positions"]]
            targets = targets_of(teacher, self.objective, self.layers)
            sums = distillation_terms(student, targets, batch, self.objective, self.full_vocabulary_kl)
        shares = torch.stack(list(sums.values())).float() / trainer._counted(batch["counts"]).clamp(min=1)
        return (trainer._weights * shares).sum()

    def _step(self) -> None:
        (batch,), counts = self.trainer.get_batch_samples(iter([self.inputs()]), 1, self.trainer.args.device)
        self.trainer.training_step(self.student, batch, counts)

    def _floor(self) -> None:
        self.trainer.targets(self.batch)
        self._teacher_rows()
        torch.autograd.backward(tensors(self._student()), self.gradients)

    def _full_vocabulary(self) -> None:
        self.trainer.accelerator.backward(self.full_vocabulary_loss())

    @torch.no_grad()
    def _teacher_rows(self) -> None:
        """Across vocabularies the teacher ends in states: its logits of the candidates are left."""
        kl = self.trainer.vocabulary_kl
        if kl is None:
            return
        groups = self.batch["groups"]
        states = self.outputs[1].logits.split([count for _, count in groups])
        for (k, _), group in zip(groups, states, strict=True):
            kl.candidates[k if kl.is_ordered else 0].logits(group)

    def _student(self) -> Outputs:
        batch = self.batch
        hidden, maps = self.objective.needs_hidden_states, self.objective.needs_attentions
        return self.student(batch["student"], batch["positions"], hidden, maps, len(batch["compared"]))

    def _optimise(self) -> None:
        trainer = self.trainer
        trainer.accelerator.clip_grad_norm_(self.student.parameters(), trainer.args.max_grad_norm)
        trainer.optimizer.step()

    def _gradients(self, outputs: Outputs) -> list[Tensor]:
        """Some gradient of each of the student's outputs."""
        return [torch.full_like(tensor, 1e-6) for tensor in tensors(outputs)]

    @cached_property
    def teacher_runner(self) -> Runner:
        """The teacher with logits, whatever the trainer takes of it."""
        return Runner(self.trainer.teacher.model)

    @cached_property
    def full_vocabulary_kl(self) -> VocabularyKL | None:
        """One that takes the teacher's logits as they are."""
        if self.trainer.vocabulary_kl is None:
            return None
        objective = self.objective
        return VocabularyKL(
            self.trainer.data_collator.vocabulary,
            None,
            objective.alignment,
            objective.vocabulary_map or "ordered",
            objective.reduce_pooling or "mean",
            objective.temperature,
            self.trainer.args.device,
        )


def tensors(outputs: Outputs) -> list[Tensor]:
    """All of a model's outputs that there are."""
    found = [outputs.logits, *(outputs.hidden_states or ()), *(outputs.attentions or ())]
    return [tensor for tensor in found if tensor is not None]


def _detached(part: Tensor | tuple[Tensor, ...] | None) -> Any:
    """Leaves of a graph of their own."""
    if part is None:
        return None
    if isinstance(part, tuple):
        return tuple(_detached(tensor) for tensor in part)
    return part.detach().requires_grad_()
