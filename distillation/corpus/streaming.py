"""A corpus larger than memory and disk: lines are read, tokenized, and put in batches while training needs them.

The corpus is a list of files (of a Hub data set: its shards), each cut into blocks of consecutive raw lines.
Every process reads one shard for each worker of its data loader, so there are S = processes x workers of them. Where
the number of files is a multiple of S, shard s reads the files f with f % S == s alone. Else every shard reads all
lines, which costs little beside tokenizing, and makes examples of every S-th block: a Hub data set should have a
multiple of S files, or each shard downloads all of it.

Examples are shuffled within their block, and files within an epoch: a corpus sorted by topic is best shuffled before.
Memory holds the examples of one block for each shard, however large the corpus is.
The stream has no end. A shard goes on with the next epoch by itself, so that no process waits for another, and each
example says of which epoch it is.

Where a shard stands is a `Position`. A checkpoint holds those of all shards, as training and not the loader's workers
have come; a resumed run passes over the lines before them and tokenizes at most one block of a shard again.
"""

import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec.asyn
import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerBase, TrainingArguments

from distillation.config.arguments import DataArguments
from distillation.config.errors import LocalError, UserError
from distillation.corpus.examples import Corpus, check_examples, encoder, tokenize
from distillation.corpus.plan import Plan, Position
from distillation.corpus.source import Source, first_lines, is_held_out, usable
from distillation.runs.sampling import grouped_batches
from distillation.text.reading import load_lines, nothing_usable, warn_of_flaws
from distillation.vocabularies.mapping import VocabularyMap

TOKENIZED = 1000  # lines that are tokenized together
LINES, SPREAD = 2**39, 0x9E3779B97F4A7C15  # numbers of lines; an odd multiplier keeps those of two files apart
FILES = "stream-*.json"  # of a checkpoint, one for each process
Examples = list[dict[str, Any]]


def stream_corpus(
    training_args: TrainingArguments,
    arguments: DataArguments,
    tokenizers: Sequence[PreTrainedTokenizerBase],
    masking_unit: str,
    alignment: str = "same",
    vocabulary: VocabularyMap | None = None,
) -> Corpus:
    """What `load_corpus` gives, with a `Stream` to train on; the corpus is judged by its first lines.

    Without a `validation_file` every tenth of the first 10 x `validation_lines` lines of the first file is set aside:
    a sorted corpus should name a `validation_file`.

    Raises UserError for what cannot be streamed, and as `load_corpus` does.
    """
    plan = Plan.of(training_args)
    source = Source(arguments)
    aside = 0 if arguments.validation_file else 10 * arguments.validation_lines
    first, held_out = first_lines(source, aside)
    if arguments.validation_file:
        validation_lines = load_lines(arguments, arguments.validation_file, None)
    elif held_out:
        validation_lines = Dataset.from_dict({"text": held_out})
    else:
        raise UserError(
            f"the first file of {source.name} has too few lines to set some aside: name a `validation_file`"
        )
    how = dict(masking_unit=masking_unit, max_length=arguments.max_length, alignment=alignment, vocabulary=vocabulary)
    sample = tokenize(Dataset.from_dict({"text": first}), tokenizers, **how)
    check_examples(sample, tokenizers, alignment, arguments.max_unknown)
    train = Stream(source, encoder(tokenizers, **how), plan, aside)
    return Corpus(train, tokenize(validation_lines, tokenizers, **how), validation_lines, sample)


class Stream(IterableDataset):
    """Batches of examples without end; each item is a `Position` behind the batch, and its examples.

    The data loader hands out batches of its workers in turn, so batch n of a process comes from its lane n % lanes.
    A resumed run has consumed some: its worker w takes the lane whose turn it is then.
    """

    def __init__(self, source: Source, encode: Callable, plan: Plan, aside: int = 0):
        """encode: of `encoder`; aside: how many lines at the start held-out ones are among, see `is_held_out`."""
        self.source = source
        self.encode = encode
        self.plan = plan
        self.aside = aside
        self.rewind()

    def rewind(self) -> None:
        """Begin with the first line."""
        self.consumed = 0
        self.positions = [Position()] * self.plan.lanes

    def advance(self, position: Position) -> None:
        """Say that the next batch of the loader has been trained on."""
        self.positions[self.consumed % self.plan.lanes] = position
        self.consumed += 1

    @property
    def epoch(self) -> int:
        """How many times each shard of this process has come through its share."""
        return min(position.epoch for position in self.positions)

    def loader(self, collator: Callable[[Examples], dict[str, Any]], args: TrainingArguments) -> DataLoader:
        """A data loader of collated batches, each with its `position`; it begins with the first line."""
        self.rewind()
        return DataLoader(
            self,
            batch_size=None,
            collate_fn=functools.partial(_collate, collator),
            num_workers=self.plan.workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            # Of its own, or it would draw a number from the one that a checkpoint restores.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[tuple[Position, Examples]]:
        worker = get_worker_info()
        if worker:
            fsspec.asyn.reset_lock()  # a forked process lacks the thread that may hold it
        lane = (self.consumed + (worker.id if worker else 0)) % self.plan.lanes
        return self.read(self.plan.rank * self.plan.lanes + lane, self.positions[lane])

    def read(self, shard: int, start: Position) -> Iterator[tuple[Position, Examples]]:
        """What a shard has behind a position."""
        idle = 0
        while True:
            flaws, turn, given = Counter(), start.turn, 0
            for position, file, lines in self._blocks(shard, start):
                turn = position.turn + 1
                if self._has_own_files or position.turn % self.plan.shards == shard:
                    batches, found = self._batches(position, file, lines.to_pylist())
                    flaws += found
                    given += len(batches)
                    for count, batch in enumerate(batches[position.batches :], start=position.batches + 1):
                        yield position._replace(batches=count), batch
            if not start.epoch:
                warn_of_flaws(self.source.name, flaws)
            idle = 0 if given else idle + 1
            if idle > self.plan.shards:  # a shard of several may have no block in an epoch of few
                raise LocalError(str(nothing_usable(f"the share of process {self.plan.rank} in {self.source.name}")))
            start = Position(start.epoch + 1, turn=turn)

    @property
    def _has_own_files(self) -> bool:
        return len(self.source) % self.plan.shards == 0

    def _files(self, shard: int, epoch: int) -> list[int]:
        """The files that a shard reads in an epoch, in order."""
        files = range(len(self.source))
        if self._has_own_files:
            files = files[shard :: self.plan.shards]
        if self.plan.sampling == "sequential":
            return list(files)
        return np.random.default_rng((self.plan.seed, epoch)).permutation(files).tolist()

    def _blocks(self, shard: int, start: Position) -> Iterator[tuple[Position, int, pa.ChunkedArray]]:
        """Blocks of the rest of an epoch, each with its position and file; those before are read and passed over."""
        files = self._files(shard, start.epoch)
        turns = itertools.count(start.turn)
        for place in range(start.place, len(files)):
            for block, lines in enumerate(self.source.blocks(files[place])):
                here = (place, block)
                if here >= (start.place, start.block):
                    batches = start.batches if here == (start.place, start.block) else 0
                    yield Position(start.epoch, place, block, next(turns), batches), files[place], lines

    def _batches(self, position: Position, file: int, texts: list[str | None]) -> tuple[list[Examples], Counter]:
        """The batches of a block in their order, and how many of its lines had which flaw."""
        texts, indices, flaws = usable(texts)
        lines = indices + position.block * self.source.block
        trained = np.flatnonzero(~is_held_out(file, lines, self.aside))
        ids = [(file * SPREAD + int(line)) % LINES for line in lines[trained]]
        examples = self._examples([texts[index] for index in trained], ids, position.epoch)
        generator = np.random.default_rng((self.plan.seed, position.epoch, file, position.block))
        order = self._order(np.array([example["length"] for example in examples]), generator)
        return [[examples[index] for index in batch] for batch in order], flaws

    def _examples(self, texts: list[str], ids: list[int], epoch: int) -> Examples:
        examples = []
        for first in range(0, len(texts), TOKENIZED):
            part = slice(first, first + TOKENIZED)
            columns = self.encode({"text": texts[part]}, ids[part], None)
            rows = zip(*columns.values(), strict=True)
            examples += [dict(zip(columns, row, strict=True), epoch=epoch) for row in rows]
        return examples

    def _order(self, lengths: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
        """Which examples make which batch."""
        size = self.plan.batch_size
        if self.plan.sampling == "group_by_length":
            return grouped_batches(lengths, size, generator)
        order = np.arange(len(lengths))
        if self.plan.sampling == "random":
            generator.shuffle(order)
        return [order[first : first + size] for first in range(0, len(order), size)]

    # Checkpoints

    def save(self, folder: str | Path) -> None:
        """Write where the shards of this process stand."""
        state = self._made_by() | {"consumed": self.consumed, "positions": self.positions}
        self._file(folder).write_text(json.dumps(state) + "\n", encoding="utf-8")

    def load(self, folder: str | Path) -> None:
        """Go on where the shards of a checkpoint stood.

        Raises UserError for a checkpoint of another kind of run, or of another number of processes or workers.
        """
        path = self._file(folder)
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            consumed, positions = int(state["consumed"]), [Position(*map(int, one)) for one in state["positions"]]
            made_by = {name: state[name] for name in self._made_by()}
            if len(positions) != max(1, made_by["`dataloader_num_workers`"]):
                raise ValueError("not a position for each worker")
        except (OSError, ValueError, KeyError, TypeError):
            raise LocalError(
                f"`resume_from_checkpoint`: {path} is missing or damaged: resume a run that was made with `streaming` "
                "by as many processes, without `save_only_model`"
            ) from None
        for name, now in self._made_by().items():
            if made_by[name] != now:
                raise UserError(
                    f"`resume_from_checkpoint`: {folder} was made with {made_by[name]} as {name} and not {now}, for "
                    "which it has no place in the stream: resume as it was made, or choose another `output_dir`"
                )
        self.consumed, self.positions = consumed, positions

    def _file(self, folder: str | Path) -> Path:
        return Path(folder, FILES.replace("*", str(self.plan.rank)))

    def _made_by(self) -> dict[str, Any]:
        """What a position depends on, by the names that a user knows."""
        return {
            "number of processes": self.plan.ranks,
            "`dataloader_num_workers`": self.plan.workers,
            "`per_device_train_batch_size`": self.plan.batch_size,
            "number of corpus files": len(self.source),
            "`seed` or `data_seed`": self.plan.seed,
            "`train_sampling_strategy`": self.plan.sampling,
        }


def _collate(collator: Callable[[Examples], dict[str, Any]], item: tuple[Position, Examples]) -> dict[str, Any]:
    position, examples = item
    return collator(examples) | {"position": position}
