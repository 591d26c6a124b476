"""The Trainer that distils: the frozen teacher beside it, exact sums over batches and ranks, each term logged."""

import functools
import itertools
import resource
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from distillation.config.arguments import MaskingArguments, ObjectiveArguments
from distillation.config.training import check_training
from distillation.corpus.examples import Corpus, lengths
from distillation.corpus.masking import COUNTS, EVALUATION_SEED, MaskingCollator, rarity_weights
from distillation.models.student import Outputs, Student
from distillation.models.teacher import Targets, Teacher
from distillation.objective import COUNTED_BY, distillation_terms
from distillation.runs.fsdp import shard
from distillation.student_trainer import StudentTrainer
from distillation.teacher_cache.targets import CACHED, cached_targets
from distillation.vocabularies.cross_vocabulary_kl import VocabularyKL
from distillation.vocabularies.mapping import VocabularyMap


class DistillationTrainer(StudentTrainer):
    """Trains a `Student` on the weighted terms of an objective.

    The gradient is that of one batch as large as all accumulated micro-batches of all ranks together: each term is a
    sum, divided once by its count over all of them. Evaluation divides sums by counts in the same way.
    """

    def __init__(
        self,
        student: Student,
        args: TrainingArguments,
        *,
        teacher: PreTrainedModel | None,
        objective: ObjectiveArguments,
        masking: MaskingArguments,
        corpus: Corpus,
        tokenizer: PreTrainedTokenizerBase,
        teacher_tokenizer: PreTrainedTokenizerBase | None = None,
        vocabulary: VocabularyMap | None = None,
    ):
        """teacher: None where the only term is mlm, which makes this plain masked-LM training.

        teacher_tokenizer, vocabulary: where the alignment is `match` or `reduce`, the teacher's tokenizer and how its
        tokens are spelt in the student's.

        Raises UserError for training arguments that cannot be met, before anything is written.
        """
        check_training(args)
        if args.ddp_find_unused_parameters is None:
            args.ddp_find_unused_parameters = not objective.needs_logits  # else every parameter has a gradient
        weights = None
        if masking.rarity_smoothing:
            weights = rarity_weights(corpus.sample, len(tokenizer), masking.rarity_smoothing)
        collate = functools.partial(
            MaskingCollator,
            tokenizer,
            masking,
            objective,
            teacher_tokenizer=teacher_tokenizer,
            vocabulary=vocabulary,
        )
        super().__init__(
            student,
            args,
            terms=objective.terms,
            data_collator=collate(args.seed, weights),
            train_dataset=corpus.train,
            eval_dataset=corpus.validation,
            processing_class=tokenizer,
        )
        # True means "this loss is normalised over the accumulated batch": the Trainer divides it by nothing more.
        self.model_accepts_loss_kwargs = True
        self.objective = objective
        self.eval_collator = collate(EVALUATION_SEED)
        self.teacher = self.vocabulary_kl = None
        if objective.needs_teacher:
            across, layers = objective.alignment != "same", student.config.num_hidden_layers
            self.teacher = Teacher(teacher.to(args.device), objective, layers, logits=not across)
            if across and "kl" in objective.terms:
                self.vocabulary_kl = self.make_vocabulary_kl(vocabulary, self.teacher.projection)
        self._begin_records()

    def _begin_records(self) -> None:
        """What is added up, on the device beforehand: a tensor made in a step would have to be copied there."""
        terms, device = self.objective.terms, self.args.device
        self._weights = torch.tensor([self.objective.weight(term) for term in terms], device=device)
        self._columns = torch.tensor([COUNTS.index(COUNTED_BY[term]) for term in terms], device=device)
        self._terms = torch.zeros(len(terms), device=device)  # since the last log, of this rank
        self._steps = 0  # since the last log
        # Until the last log, of all ranks.
        self._totals, self._total_steps = np.zeros(len(terms)), 0
        self._tokens = torch.zeros((), dtype=torch.int64, device=device)
        self._evaluated = torch.zeros(2, len(terms))

    def make_vocabulary_kl(self, vocabulary: VocabularyMap | None, projection: nn.Linear | None) -> VocabularyKL:
        """The KL of this objective across vocabularies, or from what was kept of a teacher; see `VocabularyKL`."""
        return VocabularyKL(
            vocabulary,
            projection,
            self.objective.alignment,
            self.objective.vocabulary_map or "ordered",
            self.objective.reduce_pooling or "mean",
            self.objective.temperature,
            self.args.device,
            torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else torch.float32,
        )

    # Training

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """With FSDP the teacher is sharded here: until then one process alone can evaluate it."""
        if self.is_fsdp_enabled and self.teacher is not None:
            shard(self.teacher.model, self.args.device.type, self.args.world_size)
        return super().train(*args, **kwargs)

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, Tensor]:
        """The micro-batches of one optimiser step, and how many positions each term has in them on all ranks."""
        if self.control.should_training_stop:  # resumed at its last step: the Trainer would take one more
            return [], torch.zeros(len(COUNTS), device=device)
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if self.streams:
            for batch in batches:
                self.train_dataset.advance(batch.pop("position"))
        counts = torch.zeros(len(COUNTS), dtype=torch.int64, device=device)
        for batch in batches:
            counts += batch["counts"].to(device, non_blocking=True)
        counts = self.accelerator.reduce(counts, "sum")
        self._tokens += counts[COUNTS.index("read")]
        self._steps += 1
        return batches, counts

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """The weighted terms, as this batch's share of a mean over `num_items_in_batch` positions.

        num_items_in_batch: counts (5,) as in `COUNTS`; those of this batch alone unless given.
        """
        counts = inputs["counts"] if num_items_in_batch is None else num_items_in_batch
        sums = distillation_terms(*self.outputs(model, inputs), inputs, self.objective, self.vocabulary_kl)
        shares = torch.stack(list(sums.values())).float() / self._counted(counts).clamp(min=1)
        if model.training:
            self._terms += shares.detach()
        if self.is_in_train:
            self.watch.saw(shares, [inputs["student"]["input_ids"], inputs["positions"], inputs["labels"]])
        loss = (self._weights * shares).sum()
        if num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # ranks average their gradients; these are shares of a sum
        return (loss, sums) if return_outputs else loss

    def _counted(self, counts: Tensor) -> Tensor:
        """For each term the number of positions it is a sum over."""
        return counts[self._columns]

    def outputs(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[Outputs, Targets | None]:
        """What the student makes of a batch, and what it is compared with."""
        targets = self.targets(inputs)
        hidden, attentions = self.objective.needs_hidden_states, self.objective.needs_attentions
        with self.accelerator.autocast():  # FSDP's student and the teacher have none of their own
            student = model(inputs["student"], inputs["positions"], hidden, attentions, len(inputs["compared"]))
        return student, targets

    def targets(self, inputs: dict[str, Any]) -> Targets | None:
        """What the teacher makes of a batch, or has made of it."""
        if CACHED in inputs:
            return cached_targets(inputs[CACHED])
        if self.teacher is None:
            return None
        with self.accelerator.autocast():
            return self.teacher(inputs["teacher"], inputs["teacher_positions"])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each term since the last log, over all ranks."""
        if "loss" in logs and self._steps:
            logs |= self._take_means()
        if self.streams:  # of which the Trainer knows no epoch: it would log the share of the steps
            self.state.epoch = self.train_dataset.epoch
        super().log(logs, start_time)

    def _sums(self) -> np.ndarray:
        """Of each term over the steps since the last log."""
        return self.accelerator.reduce(self._terms.clone(), "sum").cpu().double().numpy()

    def _take_means(self) -> dict[str, float]:
        sums = self._sums()
        means = sums / max(self._steps, 1)
        self._totals += sums
        self._total_steps += self._steps
        self._terms.zero_()
        self._steps = 0
        return dict(zip(self.objective.terms, means.tolist(), strict=True))

    def so_far(self) -> dict[str, Any]:
        """And of each term the sum of its means over the `steps`, and the `tokens` of the student's input."""
        totals = dict(zip(self.objective.terms, (self._totals + self._sums()).tolist(), strict=True))
        counted = {"steps": self._total_steps + self._steps, "tokens": int(self._tokens), "terms": totals}
        return super().so_far() | counted

    def carry_on(self, entries: dict[str, Any]) -> None:
        """Count on from what `so_far` gave."""
        super().carry_on(entries)
        self._totals = np.array([entries["terms"][term] for term in self.objective.terms])
        self._total_steps = entries["steps"]
        self._tokens.fill_(entries["tokens"])

    def text_of(self, batch: list[Tensor]) -> str:
        """The texts that the student was to read, with what was hidden where it was to be predicted."""
        ids, positions, labels = (tensor.cpu() for tensor in batch)
        ids, known = ids.clone(), labels != -100
        ids.view(-1)[positions[known]] = labels[known]
        return super().text_of(ids)

    def measured(self) -> dict[str, float]:
        """What the run has shown: each term in training (mean over its steps) and evaluation, speed, memory.

        Every rank calls it. train_tokens_per_second counts the tokens of the student's input, padding not included;
        peak_memory_mib is that of the main process: on a GPU the allocator's, else the resident set. All figures but
        that are of the whole run, also where it was interrupted; see `so_far`.
        """
        so_far = self.so_far()
        results = self.evaluate()
        if so_far["steps"]:
            results |= {f"train_{term}": total / so_far["steps"] for term, total in so_far["terms"].items()}
        cuda = self.args.device.type == "cuda"
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        peak = torch.cuda.max_memory_allocated() if cuda else resident
        return results | {
            "steps": self.state.global_step,
            "train_seconds": self.seconds,
            "train_tokens_per_second": so_far["tokens"] / self.seconds,
            "peak_memory_mib": peak / 2**20,
            "processes": self.args.world_size,
            "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads",
        }

    # Evaluation

    def get_eval_dataloader(self, eval_dataset: Dataset | str | None = None) -> DataLoader:
        """Batches that give every example to exactly one rank, so that no sum counts one twice."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        by_length = np.argsort(lengths(dataset), kind="stable")  # little padding
        share = by_length[self.args.process_index :: self.args.world_size]
        batches = -(-len(dataset) // (self.args.world_size * self.args.eval_batch_size))
        batches = max(min(batches, len(dataset) // self.args.world_size), 1)  # with FSDP all ranks need as many
        return DataLoader(
            dataset,
            batch_sampler=[batch.tolist() for batch in np.array_split(share, batches) if len(batch)],
            collate_fn=self.eval_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

    @property
    def _shows_candidates(self) -> bool:
        """Whether the teacher is there to say how likely other tokens than the candidates are."""
        return self.vocabulary_kl is not None and self.teacher is not None

    def evaluation_loop(
        self, dataloader: DataLoader, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any
    ) -> Any:
        """Each term, and their weighted sum as the loss, over all positions of all ranks."""
        self._evaluated = torch.zeros(2, len(self.objective.terms), dtype=torch.float64, device=self.args.device)
        self._held = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        output = super().evaluation_loop(dataloader, *args, metric_key_prefix=metric_key_prefix, **kwargs)
        sums, counts = self.accelerator.reduce(self._evaluated, "sum").cpu()
        terms = dict(zip(self.objective.terms, (sums / counts.clamp(min=1)).tolist(), strict=True))
        output.metrics[f"{metric_key_prefix}_loss"] = sum(self.objective.weight(t) * v for t, v in terms.items())
        output.metrics.update({f"{metric_key_prefix}_{term}": value for term, value in terms.items()})
        if self._shows_candidates:
            held, count = self.accelerator.reduce(self._held, "sum").tolist()
            output.metrics[f"{metric_key_prefix}_candidate_probability"] = held / max(count, 1)
        return output

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> tuple:
        """Add a batch to the sums and counts of `evaluation_loop`; nothing is gathered."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            student, targets = self.outputs(model, inputs)
            sums = distillation_terms(student, targets, inputs, self.objective, self.vocabulary_kl)
            if self._shows_candidates:
                held = self.vocabulary_kl.candidate_probability(targets.logits, inputs["groups"])
                self._held += torch.stack([held.double(), inputs["counts"][COUNTS.index("kl")]])
        self._evaluated += torch.stack([torch.stack(list(sums.values())).double(), self._counted(inputs["counts"])])
        return None, None, None
