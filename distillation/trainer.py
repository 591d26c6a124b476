"""The Trainer that distils: it runs the frozen teacher, sums exactly over batches and ranks, and logs each term."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object, send_to_device
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import (
    BertForMaskedLM,
    DistilBertForMaskedLM,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainingArguments,
)

from distillation.config.arguments import ObjectiveArguments
from distillation.config.terms import TERMS
from distillation.corpus.examples import Corpus, lengths
from distillation.corpus.masking import COUNTS
from distillation.models.mlm_head import Outputs
from distillation.models.sampled_softmax import SampledSoftmax
from distillation.models.student import Student
from distillation.models.teacher import LiveTargets, Targets
from distillation.objective import distillation_terms
from distillation.runs import memory
from distillation.runs.exact_trainer import NOT_COUNTED
from distillation.student_trainer import StudentTrainer
from distillation.teacher_cache.targets import CachedTargets


class DistillationTrainer(StudentTrainer):
    """Trains a `Student` on the weighted terms of an objective.

    The gradient equals the gradient of one batch of all accumulated micro-batches of all ranks, because each term is a
    sum that is divided once, by its count over all of them. Evaluation divides sums by counts in the same way.
    """

    counted = (len(COUNTS),)

    def __init__(
        self,
        student: Student,
        args: TrainingArguments,
        *,
        targets: LiveTargets | CachedTargets | None,
        objective: ObjectiveArguments,
        corpus: Corpus,
        collators: Sequence[Callable],
        tokenizer: PreTrainedTokenizerBase,
        sampled: SampledSoftmax | None = None,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        """targets: the teacher's outputs, live or cached; None for masked-LM training without a teacher.

        corpus, collators: each for training and for evaluation; with `CachedTargets`, the `corpus` and `collators`
        that it holds. sampled: draws candidates for a masked-LM loss that is the only term; None for all tokens.
        """
        if args.ddp_find_unused_parameters is None:
            # With logits all parameters of these have gradients; LUKE's for entities and ESM's for contacts do not.
            is_used = isinstance(student.model, (BertForMaskedLM, DistilBertForMaskedLM))
            args.ddp_find_unused_parameters = not (is_used and objective.needs("predictions", "labels"))
        collator, self.eval_collator = collators
        data = dict(train_dataset=corpus.train, eval_dataset=corpus.validation, processing_class=tokenizer)
        super().__init__(student, args, data_collator=collator, callbacks=callbacks, **data)
        self.objective, self.targets, self.sampled = objective, targets, sampled
        # Made on the device now: a tensor made in a step would be copied there in every step.
        terms, device = objective.terms, args.device
        self._weights = torch.tensor([objective.weight(term) for term in terms], device=device)
        self._columns = torch.tensor([COUNTS.index(TERMS[term].counted_by) for term in terms], device=device)
        # Since the last `record`: sums of this rank, tokens of all ranks.
        self._sums, self._steps = torch.zeros(len(terms), device=device), 0
        self._tokens = torch.zeros((), dtype=torch.int64, device=device)
        self._unlogged: Counter[str] = Counter()  # what `record` has added up since the last log
        self._evaluated: list[Tensor] = []  # the sums and the counts of each batch

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train. A cache is filled first."""
        if self.targets is not None:
            self.targets.prepare(self.accelerator)
        return super().train(*args, **kwargs)

    def count(self, batch: dict[str, Any]) -> Tensor:
        """The counts that `COUNTS` names."""
        return batch["counts"]

    def get_batch_samples(self, epoch_iterator: Iterator, *args: Any) -> tuple[list, Tensor]:
        """Also count tokens and steps, tell a stream how far it was read, and draw candidates."""
        batches, counts = super().get_batch_samples(epoch_iterator, *args)
        if self.streams:
            for batch in batches:
                self.train_dataset.advance(batch.pop("position"))
        self._tokens += counts[COUNTS.index("read")]
        self._steps += bool(batches)
        if self.sampled is not None and self.sampled.covers(self.state.global_step, self.state.max_steps):
            self._sample(batches)
        return batches, counts

    def _sample(self, batches: list[dict[str, Any]]) -> None:
        """Draw the candidates of a step, and turn the labels into indices of them. They include the labels of all
        micro-batches and ranks, so that the gradient does not depend on how the step is split."""
        is_label = torch.zeros(len(self.sampled.probability), dtype=torch.int64, device=self.args.device)
        for batch in batches:
            if not batch.get(NOT_COUNTED):
                is_label[batch["labels"]] = 1
        ids, log_probability = self.sampled.draw(self.state.global_step, self.accelerator.reduce(is_label, "sum") > 0)
        for batch in batches:
            # A batch that is not counted may have a label that is no candidate.
            labels = torch.searchsorted(ids, batch["labels"]).clamp(max=len(ids) - 1)
            batch |= {"labels": labels, "candidates": (ids, log_probability)}

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *_: Any, num_items_in_batch: Tensor) -> Tensor:
        """The weighted terms, as this batch's share of means over the counts in `num_items_in_batch`."""
        sums = distillation_terms(*self.outputs(model, inputs), inputs, self.objective)
        shares = torch.stack(list(sums.values())).float() / num_items_in_batch[self._columns].clamp(min=1)
        self._sums += shares.detach()
        # Ranks average their gradients; these are shares of a sum.
        return (self._weights * shares).sum() * self.accelerator.num_processes

    def outputs(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[Outputs, Targets | None]:
        """The student's outputs for a batch, and the targets that they are compared with."""
        hidden, attentions = self.objective.needs("states"), self.objective.needs("maps")
        with self.accelerator.autocast():  # neither an FSDP student nor the teacher enters it by itself
            targets = None if self.targets is None else self.targets(inputs)
            rows, candidates = len(inputs["compared"]), inputs.get("candidates")
            student = model(inputs["student"], inputs["positions"], hidden, attentions, rows, candidates)
        return student, targets

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log also the mean of each term since the last log, over all ranks."""
        if "loss" in logs:
            self.record()
            steps = max(self._unlogged["steps"], 1)
            logs |= {term: self._unlogged[term] / steps for term in self.objective.terms}
            self._unlogged.clear()
        if self.streams:  # the Trainer would log step / max_steps as the epoch
            self.state.epoch = self.train_dataset.epoch
        super().log(logs, start_time)

    def record(self) -> None:
        """Add steps, tokens of the student's input, and the sum of each term over the steps to `progress`."""
        sums = dict(zip(self.objective.terms, self.accelerator.reduce(self._sums, "sum").tolist(), strict=True))
        sums |= {"steps": self._steps, "tokens": int(self._tokens)}
        self.progress.add(sums)
        self._unlogged.update(sums)
        self._sums.zero_()
        self._tokens.zero_()
        self._steps = 0

    def measured(self) -> dict[str, float]:
        """The figures of the run: each term in training (mean over its steps) and evaluation, speed, memory.

        Every rank calls it. train_tokens_per_second counts the tokens of the student's input without padding.
        peak_memory_mib is the peak of the main process since it began: of the allocator on a GPU, else of the resident
        set (0 where the system does not tell).
        All other figures cover the complete run, interruptions included.
        """
        self.record()
        totals, seconds = self.progress.totals, self.progress.seconds
        results = self.evaluate()
        if totals["steps"]:
            results |= {f"train_{term}": totals[term] / totals["steps"] for term in self.objective.terms}
        cuda = self.args.device.type == "cuda"
        return results | {
            **self.facts(),
            "train_tokens_per_second": totals["tokens"] / seconds if seconds else 0.0,  # 0 of 0 epochs
            "peak_memory_mib": (torch.cuda.max_memory_allocated() if cuda else memory.peak()) / 2**20,
        }

    def get_eval_dataloader(self, eval_dataset: Dataset | None = None) -> DataLoader:
        """Batches that give each example to exactly one rank, so that no sum counts one twice."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        by_length = np.argsort(lengths(dataset), kind="stable")  # little padding
        share = by_length[self.args.process_index :: self.args.world_size]
        batches = -(-len(dataset) // (self.args.world_size * self.args.eval_batch_size))
        batches = max(min(batches, len(dataset) // self.args.world_size), 1)  # FSDP needs as many on every rank
        return DataLoader(
            dataset,
            batch_sampler=[batch.tolist() for batch in np.array_split(share, batches) if len(batch)],
            collate_fn=self.eval_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            generator=torch.Generator(),  # see `ResumableTrainer`
        )

    @property
    def _figures(self) -> tuple[str, ...]:
        """The names of the evaluated figures. A live teacher adds the probability that it gives to all candidates."""
        shows_candidates = isinstance(self.targets, LiveTargets) and self.targets.kl is not None
        return self.objective.terms + ("candidate_probability",) * shows_candidates

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """Evaluate each term, and their weighted sum as the loss, over all positions of all ranks."""
        self._evaluated = []
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        # On the CPU, in double precision: not every device has that.
        own = torch.stack(self._evaluated).cpu().double().sum(0).tolist() if self._evaluated else []
        sums, counts = torch.tensor([rank for rank in gather_object([own]) if rank], dtype=torch.float64).sum(0)
        means = dict(zip(self._figures, (sums / counts.clamp(min=1)).tolist(), strict=True))
        means["loss"] = sum(self.objective.weight(term) * means[term] for term in self.objective.terms)
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in means.items()})
        return output

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> tuple:
        """Append sums and counts of a batch; `evaluation_loop` gathers them."""
        inputs = send_to_device(inputs, self.args.device, non_blocking=self.args.dataloader_pin_memory)
        with torch.no_grad(), self.compute_loss_context_manager():
            student, targets = self.outputs(model, inputs)
            sums = list(distillation_terms(student, targets, inputs, self.objective).values())
            counts = [*inputs["counts"][self._columns]]
            if len(self._figures) > len(sums):
                sums.append(self.targets.kl.candidate_probability(targets.predictions.values, inputs["groups"]))
                counts.append(inputs["counts"][COUNTS.index("kl")])
        self._evaluated.append(torch.stack([torch.stack(sums).float(), torch.stack(counts).float()]))
        return None, None, None
