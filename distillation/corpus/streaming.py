"""A corpus larger than memory and disk: lines are read, tokenized, and put in batches while training needs them.

The corpus is a list of files (of a Hub data set: its shards), each cut into blocks of consecutive raw lines. Each
worker of each process reads one shard, so there are S = processes x workers shards. Every shard reads all lines,
which costs little beside tokenizing, and makes examples of every S-th block. If a Hub data set has a multiple of S
files, a shard downloads its own alone. Memory holds one block for each shard.

Blocks take the place of the shuffle buffer of `datasets`: the content and order of a block follow from its number and
the epoch, so a stream is resumed exactly. Examples are shuffled within their block, and files within an epoch.

The stream has no end: a shard goes on with the next epoch by itself, so that no process waits for another, and each
example names its epoch. A checkpoint holds the `Position` that training has reached in each shard; the loader's
workers are further ahead. A resumed run skips the earlier lines of the same file, and tokenizes at most one block of a
shard again.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import fsspec.asyn
import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import TrainingArguments

from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.corpus.examples import Corpus, Encoder, check_examples, tokenize
from distillation.runs.files import read_json, write_json
from distillation.runs.sampling import grouped_batches
from distillation.text.reading import Source, clean_lines, first_lines, load_lines, nothing_usable, warn_of_flaws
from distillation.text.sampling import without_repeats

TOKENIZED = 1000  # lines that are tokenized together
EXAMINED = 20_000  # lines at the start by which the corpus is checked
SAMPLINGS = ("random", "group_by_length", "sequential")
FILES = "stream-*.json"  # of a checkpoint, one for each process

Examples = list[dict[str, Any]]


def stream_corpus(training_args: TrainingArguments, arguments: DataArguments, encoder: Encoder) -> Corpus:
    """Like `load_corpus`, with a `Stream` to train on; the corpus is checked by its first lines.

    Without a `validation_file` every tenth of the first 10 x `validation_lines` lines is held out: a sorted corpus
    should name a `validation_file`.

    Raises UserError for what cannot be streamed, and as `load_corpus` does.
    """
    if training_args.max_steps <= 0:
        raise UserError("`streaming` needs `max_steps`: the corpus is not counted, so an epoch has no known end")
    if training_args.auto_find_batch_size:
        raise UserError("`streaming` needs a fixed batch: leave `auto_find_batch_size` out")
    for name in ("save_strategy", "eval_strategy", "logging_strategy"):
        if getattr(training_args, name) == "epoch":
            raise UserError(f"`streaming` does not know the end of an epoch: set `{name}: steps`")
    if training_args.dataloader_drop_last:
        raise UserError("`streaming` has no last batch: leave `dataloader_drop_last` out")
    sampling = training_args.train_sampling_strategy
    if sampling not in SAMPLINGS:
        choices = ", ".join(SAMPLINGS)
        raise UserError(f"`streaming` has no `train_sampling_strategy: {sampling}`; choose one of {choices}")
    source, apart = Source(arguments), 10 * arguments.validation_lines
    lines = first_lines(source, EXAMINED if arguments.validation_file else max(EXAMINED, apart))
    held_out = Dataset.from_dict({"text": lines[9:apart:10]})
    if arguments.validation_file:
        held_out = load_lines(arguments, arguments.validation_file, None)
    if not len(held_out):
        raise UserError(f"{source.name} has too few lines to set some aside: name a `validation_file`")
    first = without_repeats(Dataset.from_dict({"text": lines[:EXAMINED]}), held_out)
    sample = tokenize(first, encoder)
    check_examples(sample, encoder, arguments.max_unknown)
    seed = training_args.seed if training_args.data_seed is None else training_args.data_seed
    train = Stream(
        source,
        encoder,
        frozenset(held_out["text"][:]),
        batch_size=training_args.train_batch_size,
        sampling=sampling,
        seed=seed,
        rank=training_args.process_index,
        ranks=training_args.world_size,
        workers=training_args.dataloader_num_workers,
    )
    return Corpus(train, tokenize(held_out, encoder), held_out, sample)


class Position(NamedTuple):
    """Where a shard stands."""

    epoch: int = 0
    place: int = 0  # of the file among the shard's files, in this epoch's order
    block: int = 0  # of the file
    batches: int = 0  # of the block that are done


@dataclass(eq=False)
class Stream(IterableDataset):
    """Batches of examples without end; each item is the `Position` after a batch, and the examples.

    The data loader hands out batches of its workers in turn, so batch n of a process comes from its lane n % lanes.
    A resumed run has consumed some: its worker w takes the lane whose turn it is then.
    """

    source: Source
    encode: Encoder
    held_out: frozenset[str]  # lines that are not trained on
    batch_size: int
    sampling: str = "random"
    seed: int = 0
    rank: int = 0
    ranks: int = 1
    workers: int = 0  # of the data loader

    def __post_init__(self):
        self.lanes = max(1, self.workers)  # shards of this process
        self.shards = self.ranks * self.lanes  # of all processes
        self.rewind()

    def rewind(self) -> None:
        """Start with the first line."""
        self.consumed = 0
        self.positions = [Position()] * self.lanes

    def advance(self, position: Position) -> None:
        """Record that the next batch of the loader has been trained on."""
        self.positions[self.consumed % self.lanes] = position
        self.consumed += 1

    @property
    def epoch(self) -> int:
        """How many epochs all shards of this process have finished."""
        return min(position.epoch for position in self.positions)

    def loader(self, collator: Callable[[Examples], dict[str, Any]], args: TrainingArguments) -> DataLoader:
        """A data loader of collated batches, each with its `position`; it starts with the first line."""
        self.rewind()
        return DataLoader(
            self,
            batch_size=None,
            collate_fn=functools.partial(_collate, collator),
            num_workers=self.workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            generator=torch.Generator(),  # else it draws from the one that a checkpoint restores
        )

    def __iter__(self) -> Iterator[tuple[Position, Examples]]:
        worker = get_worker_info()
        if worker:
            fsspec.asyn.reset_lock()  # a forked process lacks the thread that may hold it
        lane = (self.consumed + (worker.id if worker else 0)) % self.lanes
        return self.read(self.rank * self.lanes + lane, self.positions[lane])

    def read(self, shard: int, start: Position) -> Iterator[tuple[Position, Examples]]:
        """The batches of a shard after a position."""
        barren = 0  # epochs in a row without a batch: where blocks are few, a shard may have none in an epoch
        while barren <= self.shards:
            barren, flaws = barren + 1, Counter()
            for here, file, values in self._blocks(shard, start):
                lines, found = clean_lines(values)
                batches, flaws = self._batches(here, file, lines), flaws + found
                barren = 0 if batches else barren
                behind = start.batches if here[:3] == start[:3] else 0
                for count, batch in enumerate(batches[behind:], start=behind + 1):
                    yield here._replace(batches=count), batch
            if not start.epoch:
                warn_of_flaws(self.source.name, flaws)
            start = Position(start.epoch + 1)
        raise nothing_usable(f"the share of process {self.rank} in {self.source.name}")

    def _blocks(self, shard: int, start: Position) -> Iterator[tuple[Position, int, list[str | None]]]:
        """A shard's blocks in the rest of an epoch: position, file, raw lines. Earlier ones are skipped."""
        files = np.arange(len(self.source))
        # Files may be of any size: a shard with its own would repeat a small one while others read a large one.
        own = self.source.hub is not None and len(files) % self.shards == 0
        files = files[shard :: self.shards] if own else files
        if self.sampling != "sequential":
            files = np.random.default_rng((self.seed, start.epoch)).permutation(files)
        for place, file in list(enumerate(files.tolist()))[start.place :]:
            for block, rows in enumerate(self.source.blocks(file)):
                is_its = own or (place + block + start.epoch) % self.shards == shard
                if is_its and (place, block) >= (start.place, start.block):
                    yield Position(start.epoch, place, block), file, self.source.texts(file, rows)

    def _batches(self, here: Position, file: int, lines: list[str]) -> list[Examples]:
        """The batches of a block in their order."""
        rows = [row for row, line in enumerate(lines) if line not in self.held_out]
        examples: Examples = []
        for part in (rows[first : first + TOKENIZED] for first in range(0, len(rows), TOKENIZED)):
            # Unique in the corpus, and the same in every epoch: the number of the row in its file, and of the file.
            ids = [(here.block * self.source.block + row) * len(self.source) + file for row in part]
            columns = self.encode({"text": [lines[row] for row in part]}, ids)
            values = zip(*columns.values(), strict=True)
            examples += [dict(zip(columns, row, strict=True), epoch=here.epoch) for row in values]
        generator = np.random.default_rng((self.seed, here.epoch, file, here.block))
        if self.sampling == "group_by_length":
            lengths = np.array([example["length"] for example in examples])
            batches = grouped_batches(lengths, self.batch_size, generator)
        else:
            order = np.arange(len(examples))
            if self.sampling == "random":
                generator.shuffle(order)
            batches = [order[first : first + self.batch_size] for first in range(0, len(order), self.batch_size)]
        return [[examples[index] for index in batch] for batch in batches]

    def save(self, folder: str | Path) -> None:
        """Write to a checkpoint where the shards of this process stand."""
        state = dict(made_by=self._made_by(), consumed=self.consumed, positions=self.positions)
        write_json(Path(folder, FILES.replace("*", str(self.rank))), state)

    def load(self, folder: str | Path) -> None:
        """Restore the positions of a checkpoint. Raises UserError for the checkpoint of another run."""
        path, made_by = Path(folder, FILES.replace("*", str(self.rank))), self._made_by()
        # Without the file, the run had fewer processes or was not streamed: nothing is the same.
        state = read_json(path) if path.exists() else {"made_by": {}}
        changed = [f"{name} {now}" for name, now in made_by.items() if state["made_by"].get(name) != now]
        if changed:
            raise UserError(
                f"`resume_from_checkpoint`: {folder} has no place in the stream for {', '.join(changed)}: resume as "
                "it was made, with `streaming` and as many processes, or choose another `output_dir`"
            )
        self.consumed, self.positions = state["consumed"], [Position(*one) for one in state["positions"]]

    def _made_by(self) -> dict[str, Any]:
        """What a position depends on, by the names that a user knows."""
        return {
            "processes": self.ranks,
            "`dataloader_num_workers`": self.workers,
            "`per_device_train_batch_size`": self.batch_size,
            "corpus files": len(self.source),
            "`seed` or `data_seed`": self.seed,
            "`train_sampling_strategy`": self.sampling,
        }


def _collate(collator: Callable[[Examples], dict[str, Any]], item: tuple[Position, Examples]) -> dict[str, Any]:
    position, examples = item
    return collator(examples) | {"position": position}
