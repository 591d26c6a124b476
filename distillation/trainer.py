"""The Trainer that distils: the frozen teacher beside it, exact sums over batches and ranks, each term logged."""

import functools
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments

from distillation.alignment import VocabularyMap
from distillation.arguments import MaskingArguments, ObjectiveArguments
from distillation.checkpoint import save_pretrained
from distillation.data import Corpus, lengths
from distillation.masking import COUNTS, EVALUATION_SEED, MaskingCollator, rarity_weights
from distillation.objective import COUNTED_BY, distillation_terms
from distillation.recipe import RecipeError, check_training
from distillation.sampler import EpochBegins, LengthGroupedSampler
from distillation.streaming import Stream
from distillation.student import Outputs, Runner, Student
from distillation.vocabulary_kl import VocabularyKL

PROJECTIONS = "projections.safetensors"


class DistillationTrainer(Trainer):
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

        Raises RecipeError for training arguments that cannot be met, before anything is written.
        """
        check_training(args)
        # The Trainer's own push would take optimiser states and pickled arguments along: `publish` does it at the end.
        self.push_wanted, args.push_to_hub = args.push_to_hub, False
        args.remove_unused_columns = False  # the collator names its own inputs
        self.streams = isinstance(corpus.train, Stream)
        args.ignore_data_skip |= self.streams  # a stream finds its own way back
        args.dataloader_pin_memory &= args.device.type == "cuda"
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
        collator = collate(args.seed, weights)
        self._epoch_begins = EpochBegins(collator)
        super().__init__(
            student,
            args,
            data_collator=collator,
            train_dataset=corpus.train,
            eval_dataset=corpus.validation,
            processing_class=tokenizer,
            callbacks=[self._epoch_begins],
        )
        # True means "this loss is normalised over the accumulated batch": the Trainer divides it by nothing more.
        self.model_accepts_loss_kwargs = True
        self.objective = objective
        self.eval_collator = collate(EVALUATION_SEED)
        self.teacher = self.vocabulary_kl = None
        if objective.needs_teacher:
            teacher = teacher.to(args.device).eval().requires_grad_(False)
            self.teacher = Runner(teacher, logits=objective.alignment == "same")
            if objective.alignment != "same" and "kl" in objective.terms:
                self.vocabulary_kl = self._make_vocabulary_kl(vocabulary)
        # On the device beforehand: a tensor made in a step would have to be copied there.
        self._weights = torch.tensor([objective.weight(term) for term in objective.terms], device=args.device)
        self._columns = torch.tensor([COUNTS.index(COUNTED_BY[t]) for t in objective.terms], device=args.device)
        self._terms = torch.zeros(len(objective.terms), device=args.device)  # since the last log, of this rank
        self._steps = 0  # since the last log
        # Since this process began to train, of all ranks.
        self._totals, self._total_steps = np.zeros(len(objective.terms)), 0
        self._tokens = torch.zeros((), dtype=torch.int64, device=args.device)
        self._evaluated = torch.zeros(2, len(objective.terms))

    def _make_vocabulary_kl(self, vocabulary: VocabularyMap) -> VocabularyKL:
        model, name = self.teacher.model, self.teacher.projection
        return VocabularyKL(
            vocabulary,
            None if name is None else model.get_submodule(name),
            self.objective.alignment,
            self.objective.vocabulary_map or "ordered",
            self.objective.reduce_pooling or "mean",
            self.objective.temperature,
            model.device,
            torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else torch.float32,
        )

    # Training

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, Tensor]:
        """The micro-batches of one optimiser step, and how many positions each term has in them on all ranks."""
        if self.control.should_training_stop:  # resumed at its last step: the Trainer would take one more
            return [], torch.zeros(len(COUNTS), device=device)
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self.streams:
            for batch in batches:
                self.train_dataset.advance(batch.pop("position"))
        counts = torch.zeros(len(COUNTS), dtype=torch.int64, device=device)
        for batch in batches:
            counts += batch["counts"].to(device)
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
        student, teacher = self.outputs(model, inputs)
        sums = distillation_terms(student, teacher, inputs, self.objective, self.vocabulary_kl)
        shares = torch.stack(list(sums.values())).float() / self._counted(counts).clamp(min=1)
        if model.training:
            self._terms += shares.detach()
        loss = (self._weights * shares).sum()
        if num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # ranks average their gradients; these are shares of a sum
        return (loss, sums) if return_outputs else loss

    def _counted(self, counts: Tensor) -> Tensor:
        """For each term the number of positions it is a sum over."""
        return counts[self._columns]

    def outputs(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[Outputs, Outputs | None]:
        """What student and teacher make of a batch."""
        hidden, attentions = self.objective.needs_hidden_states, self.objective.needs_attentions
        student = model(inputs["student"], inputs["positions"], hidden, attentions, len(inputs["compared"]))
        teacher = None
        if self.teacher is not None:
            with torch.no_grad(), self.accelerator.autocast():  # which covers the student's forward pass of itself
                teacher = self.teacher(inputs["teacher"], inputs["teacher_positions"], hidden, attentions)
        return student, teacher

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each term since the last log, over all ranks."""
        if "loss" in logs and self._steps:
            logs |= self._take_means()
        if self.streams:  # of which the Trainer knows no epoch: it would log the share of the steps
            self.state.epoch = self.train_dataset.epoch
        super().log(logs, start_time)

    def _take_means(self) -> dict[str, float]:
        means = self.accelerator.reduce(self._terms, "sum").cpu().double().numpy() / max(self._steps, 1)
        self._totals += means * self._steps
        self._total_steps += self._steps
        self._terms.zero_()
        self._steps = 0
        return dict(zip(self.objective.terms, means.tolist(), strict=True))

    def measured(self) -> dict[str, float]:
        """What the run has shown: each term in training (mean over its steps) and evaluation, speed, memory.

        Every rank calls it. train_tokens_per_second counts the tokens of the student's input, padding not included;
        peak_memory_mib is that of the main process: on a GPU the allocator's, else the resident set. After a
        resumption the figures of training are those since then; without a step since then the terms are left out.
        """
        self._take_means()
        results = self.evaluate()
        if self._total_steps:
            means = (self._totals / self._total_steps).tolist()
            results |= {f"train_{term}": mean for term, mean in zip(self.objective.terms, means, strict=True)}
        seconds = next(logs["train_runtime"] for logs in reversed(self.state.log_history) if "train_runtime" in logs)
        cuda = self.args.device.type == "cuda"
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        peak = torch.cuda.max_memory_allocated() if cuda else resident
        return results | {
            "steps": self.state.global_step,
            "train_seconds": seconds,
            "train_tokens_per_second": self._tokens.item() / seconds,
            "peak_memory_mib": peak / 2**20,
            "processes": self.args.world_size,
            "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads",
        }

    def get_train_dataloader(self) -> DataLoader:
        """Batches of examples; of a stream, those of this rank's own share, for which accelerate has nothing to do."""
        if not self.streams:
            return super().get_train_dataloader()
        return self.train_dataset.loader(self.data_collator, self.args)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> torch.utils.data.Sampler | None:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        together = self.args.train_batch_size * self.args.world_size
        sampler = LengthGroupedSampler(lengths(self.train_dataset), together, seed)
        # On several ranks the loader of a resumed epoch wraps the sampler too deep for its `set_epoch` to reach.
        self._epoch_begins.drawing.append(sampler)
        return sampler

    # Evaluation

    def get_eval_dataloader(self, eval_dataset: Dataset | str | None = None) -> DataLoader:
        """Batches that give every example to exactly one rank, so that no sum counts one twice."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        by_length = np.argsort(lengths(dataset), kind="stable")  # little padding
        share = by_length[self.args.process_index :: self.args.world_size]
        batches = -(-len(dataset) // (self.args.world_size * self.args.eval_batch_size))
        return DataLoader(
            dataset,
            batch_sampler=[batch.tolist() for batch in np.array_split(share, batches) if len(batch)],
            collate_fn=self.eval_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

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
        if self.vocabulary_kl is not None:
            held, count = self.accelerator.reduce(self._held, "sum").tolist()
            output.metrics[f"{metric_key_prefix}_candidate_probability"] = held / max(count, 1)
        return output

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> tuple:
        """Add a batch to the sums and counts of `evaluation_loop`; nothing is gathered."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            student, teacher = self.outputs(model, inputs)
            sums = distillation_terms(student, teacher, inputs, self.objective, self.vocabulary_kl)
            if self.vocabulary_kl is not None:
                held = self.vocabulary_kl.candidate_probability(teacher.logits, inputs["groups"])
                self._held += torch.stack([held.double(), inputs["counts"][COUNTS.index("kl")]])
        self._evaluated += torch.stack([torch.stack(list(sums.values())).double(), self._counted(inputs["counts"])])
        return None, None, None

    # Checkpoints

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """The student alone, as others load it; in a `checkpoint-*` folder the projections beside it."""
        folder = Path(output_dir or self.args.output_dir)
        student = self.accelerator.unwrap_model(self.model)
        state_dict = student.state_dict() if state_dict is None else state_dict
        parts = {prefix: {} for prefix in ("model.", "projections.")}
        for name, tensor in state_dict.items():
            for prefix, part in parts.items():
                if name.startswith(prefix):
                    part[name.removeprefix(prefix)] = tensor
        save_pretrained(student.model, self.processing_class, folder, parts["model."])
        if parts["projections."] and folder != Path(self.args.output_dir):
            save_file({name: t.contiguous() for name, t in parts["projections."].items()}, folder / PROJECTIONS)

    def _save_rng_state(self, output_dir: str) -> None:
        """Every rank writes what its next batches depend on."""
        super()._save_rng_state(output_dir)
        if self.streams:
            self.train_dataset.save(output_dir)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if self.streams and checkpoint is not None:
            self.train_dataset.load(checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        student = self.accelerator.unwrap_model(self.model if model is None else model)
        state = load_file(Path(resume_from_checkpoint, "model.safetensors"))
        try:
            missing, unexpected = student.model.load_state_dict(state, strict=False)
            if unexpected or set(missing) - set(student.model.all_tied_weights_keys):
                raise RuntimeError("other layers")
            if len(student.projections):
                student.projections.load_state_dict(load_file(Path(resume_from_checkpoint, PROJECTIONS)))
        except (RuntimeError, FileNotFoundError):  # shapes that differ, no projections
            raise RecipeError(
                f"`resume_from_checkpoint`: {resume_from_checkpoint} is of another student or other terms than this "
                "recipe's; resume with the recipe that made it, or choose another `output_dir`"
            ) from None

    def _load_best_model(self) -> None:
        if self.is_fsdp_enabled:
            super()._load_best_model()
        else:
            self._load_from_checkpoint(self.state.best_model_checkpoint)
