"""The Trainer that fine-tunes: exact sums over batches and ranks, predictions of rows, a task teacher's word."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from distillation.models.loading import save_pretrained
from distillation.runs.exact_trainer import ExactTrainer
from finetuning.splits import Part
from finetuning.tasks.base import Task
from finetuning.tasks.collator import PADDING
from finetuning.tasks.losses import IGNORED, label_loss, teacher_loss


class TaskTrainer(ExactTrainer):
    """Trains a model on a task and chooses its best checkpoint by the benchmark's own metric. The loss is a mean over
    the labels of the accumulated batch."""

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        *,
        task: Task,
        train: Dataset | None,
        validation: Part | None,
        tokenizer: PreTrainedTokenizerBase,
        weight_kl: float = 1.0,
        temperature: float = 2.0,
        patience: int | None = None,
    ):
        """train, validation: None for a model that is only to predict.

        weight_kl, temperature: of the KL to a task teacher, where `train` has its logits in `teacher_logits`.
        patience: evaluations without a better score after which to stop.
        """
        args.eval_do_concat_batches = False  # inputs differ in length, and joining them anew for each batch is slow
        super().__init__(
            model,
            args,
            lengths=lambda: self.train_dataset["length"][:],
            callbacks=[Patience(patience)] if patience else [],
            data_collator=task.collator(tokenizer, task.padded),
            train_dataset=train,
            eval_dataset=validation.encoded.inputs if validation else None,
            processing_class=tokenizer,
        )
        self.task, self.validation = task, validation
        self.weight_kl, self.temperature = weight_kl, temperature

    def count(self, batch: dict[str, Any]) -> Tensor:
        """The labels."""
        return (batch["labels"] != IGNORED).sum()

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """The loss as this batch's share of a mean over `num_items_in_batch` labels, its own unless given."""
        labels, mask = inputs["labels"], inputs["attention_mask"]
        logits = self.task.logits(model(**_read(inputs)))
        scores = self.task.scores(logits, mask)
        loss = label_loss(scores, labels)
        if "teacher_logits" in inputs:
            teacher_scores = self.task.scores(inputs["teacher_logits"], mask)
            loss = loss + self.weight_kl * teacher_loss(scores, teacher_scores, labels, self.temperature)
        if num_items_in_batch is None:
            loss = loss / self.count(inputs).clamp(min=1)
        else:  # ranks average their gradients; these are shares of a sum
            loss = loss * self.accelerator.num_processes / num_items_in_batch.clamp(min=1)
        return (loss, {"logits": logits}) if return_outputs else loss

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> tuple:
        """The logits alone: what they are worth, `measure` tells from all of them."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            logits = self.task.logits(model(**_read(inputs)))
        return None, logits.float(), None

    def logits(self, inputs: Dataset) -> list[np.ndarray]:
        """What the model says of each input, in order and without padding. Every rank calls it and has them all."""
        order = np.argsort(inputs["length"][:], kind="stable")  # little padding
        batches = self.predict(inputs.select(order)).predictions
        rows = [row for batch in batches for row in batch]
        sizes = inputs["size"][:] if "size" in inputs.column_names else [None] * len(inputs)
        found: list[np.ndarray] = [np.empty(0)] * len(inputs)
        for index, row in zip(order, rows, strict=True):
            found[index] = row[: sizes[index]]
        return found

    def measure(self, part: Part) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """The benchmark's metrics and the mean loss on a part, and the predictions. Every rank calls it."""
        logits = self.logits(part.encoded.inputs)
        predictions = self.task.decode(part.rows, part.encoded, logits)
        figures = self.task.score(part.rows, predictions) | {"loss": self._mean_loss(part, logits)}
        for prediction, reference in zip(predictions, self.task.references(part.rows), strict=True):
            prediction["reference"] = reference
        return figures, predictions

    def answers(self, part: Part) -> list[dict[str, Any]]:
        """The predictions on a part without labels. Every rank calls it."""
        return self.task.decode(part.rows, part.encoded, self.logits(part.encoded.inputs))

    def _mean_loss(self, part: Part, logits: Sequence[np.ndarray]) -> float:
        total = count = 0
        for one, labels in zip(logits, part.encoded.inputs["labels"], strict=True):
            labels = torch.tensor(labels)[None]
            total += label_loss(self.task.scores(torch.tensor(one)[None], None), labels).item()
            count += int((labels != IGNORED).sum())
        return total / max(count, 1)

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
        """The metrics on the validation part, logged."""
        metrics, _ = self.measure(self.validation)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def write_model(self, folder: Path, state_dict: dict[str, Tensor] | None) -> None:
        """What others load."""
        model = self.accelerator.unwrap_model(self.model)
        save_pretrained(model, self.processing_class, folder, state_dict)


class Patience(EarlyStoppingCallback):
    """Stops early; and ends a run that is resumed where it was stopped so."""

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer."""
        control.should_training_stop |= self.early_stopping_patience_counter >= self.early_stopping_patience


def _read(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name not in PADDING}
