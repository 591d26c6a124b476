"""The Trainer that fine-tunes: exact sums over batches and ranks, predictions of rows, a task teacher's logits."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from distillation.config.errors import Diverged
from distillation.models.loading import save_pretrained
from distillation.runs.exact_trainer import ExactTrainer
from finetuning.tasks.base import PADDING, Part, Task
from finetuning.tasks.losses import IGNORED, has_teacher, label_loss, teacher_loss


@dataclass
class TaskTrainingArguments(TrainingArguments):
    """`TrainingArguments` with defaults for fine-tuning: evaluate and save each epoch, keep the best."""

    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    logging_strategy: str = "epoch"
    load_best_model_at_end: bool = True
    metric_for_best_model: str = "benchmark"  # the benchmark's own metric
    train_sampling_strategy: str = "group_by_length"
    bf16: bool | None = None  # None: if the GPU has it

    def __post_init__(self):
        if self.bf16 is None:
            gpu = torch.cuda.is_available() and not self.use_cpu
            chosen = self.fp16 or os.environ.get("ACCELERATE_MIXED_PRECISION", "no") != "no"  # by the launcher
            self.bf16 = gpu and not chosen and torch.cuda.is_bf16_supported(including_emulation=False)
        super().__post_init__()


class TaskTrainer(ExactTrainer):
    """Trains a model on a task and chooses its best checkpoint by the benchmark's own metric. The loss is a mean over
    the labels of the accumulated batch."""

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        *,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        train: Dataset | None = None,
        validation: Part | None = None,
        weight_kl: float = 1.0,
        temperature: float = 2.0,
        patience: int | None = None,
    ):
        """train: None for a model that is only scored; validation: None without evaluation.

        weight_kl, temperature: of the KL to a task teacher, if `train` has its logits in `teacher_logits`.
        patience: evaluations without a better score after which to stop.
        """
        args.eval_do_concat_batches = False  # inputs differ in length, and joining them anew for each batch is slow
        super().__init__(
            model,
            args,
            lengths=lambda: self.train_dataset["length"][:],
            callbacks=[Patience(patience)] if patience else [],
            data_collator=task.collator(tokenizer),
            train_dataset=train,
            eval_dataset=validation.inputs if validation else None,
            processing_class=tokenizer,
        )
        self.task, self.validation = task, validation
        self.weight_kl, self.temperature = weight_kl, temperature

    def count(self, batch: dict[str, Any]) -> Tensor:
        """The number of places with a label, or at least with a task teacher's answer."""
        counts = batch["labels"] != IGNORED
        if "teacher_logits" in batch:
            counts |= has_teacher(self.task.scores(batch["teacher_logits"], batch["attention_mask"]))
        return counts.sum()

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *_: Any, num_items_in_batch: Tensor) -> Tensor:
        """This batch's share of a mean over `num_items_in_batch` places."""
        labels, mask = inputs["labels"], inputs["attention_mask"]
        scores = self.task.scores(self._logits(model, inputs), mask)
        loss = label_loss(scores, labels)
        if "teacher_logits" in inputs:
            teacher_scores = self.task.scores(inputs["teacher_logits"], mask)
            loss = loss + self.weight_kl * teacher_loss(scores, teacher_scores, self.temperature)
        # Ranks average their gradients; these are shares of a sum.
        return loss * self.accelerator.num_processes / num_items_in_batch.clamp(min=1)

    def _logits(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        return self.task.logits(model(**{name: value for name, value in inputs.items() if name not in PADDING}))

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> tuple:
        """The logits alone: `measure` computes the figures from all of them."""
        with torch.no_grad(), self.compute_loss_context_manager():
            return None, self._logits(model, self._prepare_inputs(inputs)).float(), None

    def logits(self, inputs: Dataset) -> list[np.ndarray]:
        """The logits of each input, in order and without padding. Every rank calls it and gets all of them."""
        order = np.argsort(inputs["length"][:], kind="stable")  # little padding
        rows = (row for batch in self.predict(inputs.select(order)).predictions for row in batch)
        sizes = inputs["size"][:] if "size" in inputs.column_names else [None] * len(inputs)
        found = {index: row[: sizes[index]] for index, row in zip(order.tolist(), rows, strict=True)}
        return [found[index] for index in range(len(inputs))]

    def measure(self, part: Part) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """The benchmark's metrics and the mean loss on a part, and the predictions. Every rank calls it.

        Raises Diverged for logits that are no numbers."""
        logits = self.logits(part.inputs)
        if any(np.isnan(one).any() for one in logits):
            raise Diverged(
                f"by step {self.state.global_step} the model gives no numbers: start in another `output_dir` with a "
                "lower `learning_rate`"
            )
        if part is self.validation:
            self.task = self.task.fitted(part, logits)
        predictions, total, count = self.task.decode(part, logits), 0.0, 0
        for one, labels in zip(logits, map(torch.tensor, part.inputs["labels"]), strict=True):
            total += label_loss(self.task.scores(torch.tensor(one)[None], None), labels[None]).item()
            count += int((labels != IGNORED).sum())
        figures = self.task.score(part.rows, predictions) | {"loss": total / max(count, 1)}
        for prediction, reference in zip(predictions, self.task.references(part.rows), strict=True):
            prediction["reference"] = reference
        return figures, predictions

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The metrics on the validation part, logged."""
        metrics = {f"eval_{name}": value for name, value in self.measure(self.validation)[0].items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def write_model(self, folder: Path, state_dict: dict[str, Tensor] | None) -> None:
        """Write what `AutoModelFor...` and `AutoTokenizer` load."""
        model = self.accelerator.unwrap_model(self.model)
        model.config.update(self.task.config)
        save_pretrained(model, self.processing_class, folder, state_dict)


class Patience(EarlyStoppingCallback):
    """Stops early; a run that is resumed after its stop ends again."""

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop |= self.early_stopping_patience_counter >= self.early_stopping_patience
