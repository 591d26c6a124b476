"""What streaming a corpus costs: speed, memory as the corpus grows, and the time to resume in its middle.

python benchmarks/streaming.py --output streaming.json

A corpus of each size is written to a temporary folder: lines of some sentences of the demo's grammar. It is read
alone, by whole blocks; then `--blocks` blocks of it with tokenizing and collating, by one process; and then once from
end to end by one shard of `--shards`, which reads all lines and makes batches of few. Memory is what is resident at
most up to 10, 50, and 100 % of that, since the mark before, libraries and tokenizer included. Resuming is what that
shard needs from a position in the middle to its next batch.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

import torch
from transformers import PreTrainedTokenizerBase

from benchmarks.timing.measure import MIB, hardware, peak, reset_peak, show
from benchmarks.timing.options import count, output_file, positive
from distillation.config.arguments import DataArguments, MaskingArguments, ObjectiveArguments
from distillation.config.recipe import CommandLine, cli_entry
from distillation.corpus.examples import encoder
from distillation.corpus.masking import COUNTS, MaskingCollator
from distillation.corpus.plan import Plan, Position
from distillation.corpus.source import BLOCK, Source
from distillation.corpus.streaming import Stream
from distillation.demo.grammar import generate
from distillation.runs.files import markdown_table
from distillation.vocabularies.wordpiece import train_tokenizer

CPU = torch.device("cpu")
SENTENCES, IN_A_LINE = 20_000, 8
MARKS = (0.1, 0.5, 1.0)
QUICK = {"megabytes": [0.3, 1.0], "blocks": 2, "shards": 3, "block": 100}


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure a corpus of each size; print a table and one line of JSON."""
    arguments = parse(argv)
    sentences = list(generate(SENTENCES, seed=0))
    tokenizer = train_tokenizer(sentences, vocab_size=2000, max_length=arguments.max_length)
    sizes = {name: getattr(arguments, name) for name in ("blocks", "shards", "block", "batch_size", "max_length")}
    figures = {"hardware": hardware(CPU), **sizes, "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        for megabytes in arguments.megabytes:
            write_corpus(path, sentences, megabytes)
            figures["rows"].append({"megabytes": megabytes} | measure(path, tokenizer, arguments))
    show(table(figures), figures, arguments.output)
    return figures


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line, with tiny sizes where it asks for `--quick`."""
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=positive, nargs="+", default=[100, 1000])
    parser.add_argument("--blocks", type=count, default=5, help="Blocks that are tokenized for the speed.")
    parser.add_argument("--shards", type=count, default=8, help="Of which one reads the whole, for memory.")
    parser.add_argument("--block", type=count, default=BLOCK, help="Lines of a block.")
    parser.add_argument("--batch_size", type=count, default=32)
    parser.add_argument("--max_length", type=count, default=128)
    parser.add_argument("--output", type=output_file, help="JSON file for the figures.")
    parser.add_argument("--quick", action="store_true", help="Tiny sizes, to see that it runs.")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        vars(arguments).update(QUICK)
    return arguments


def write_corpus(path: Path, sentences: list[str], megabytes: float) -> None:
    """Lines of sentences drawn at random until the file is large enough."""
    drawn = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < 1e6 * megabytes:
            file.writelines(" ".join(drawn.choices(sentences, k=IN_A_LINE)) + "\n" for _ in range(100))


def measure(path: Path, tokenizer: PreTrainedTokenizerBase, arguments: argparse.Namespace) -> dict[str, Any]:
    """A row of figures of one corpus."""
    source = Source(DataArguments(train_file=str(path)), arguments.block)
    start = time.perf_counter()
    sizes = [len(lines) for lines in source.blocks(0)]
    seconds = time.perf_counter() - start
    reading = {"lines": sum(sizes), "read_lines_per_second": sum(sizes) / seconds}
    reading["read_megabytes_per_second"] = path.stat().st_size / 1e6 / seconds

    encode = encoder([tokenizer], "word", arguments.max_length)
    plans = [Plan(arguments.batch_size, "group_by_length", ranks=ranks) for ranks in (1, arguments.shards)]
    alone, one_of_many = (Stream(source, encode, plan) for plan in plans)
    collator = MaskingCollator(tokenizer, MaskingArguments(masking_unit="word"), ObjectiveArguments(), seed=0)
    speed = throughput(alone, collator, min(arguments.blocks, len(sizes)), sizes)
    memory, middle = memory_at_marks(one_of_many, collator, len(sizes))
    start = time.perf_counter()
    collator(next(one_of_many.read(0, middle))[1])
    return reading | speed | memory | {"resume_seconds": time.perf_counter() - start}


def throughput(stream: Stream, collator: MaskingCollator, blocks: int, sizes: list[int]) -> dict[str, float]:
    """Lines and tokens of collated batches in a second, over the first blocks."""
    start, tokens = time.perf_counter(), 0
    for position, examples in first_epoch(stream):
        if position.turn == blocks:
            break
        tokens += int(collator(examples)["counts"][COUNTS.index("read")])
        seconds = time.perf_counter() - start  # that of the next block's lines does not count
    return {"lines_per_second": sum(sizes[:blocks]) / seconds, "tokens_per_second": tokens / seconds}


def memory_at_marks(stream: Stream, collator: MaskingCollator, blocks: int) -> tuple[dict[str, list[float]], Position]:
    """MiB resident at most up to each of the `MARKS`, none where the system does not tell; and where the middle is."""
    measurable = reset_peak(CPU) is not None
    mib, middle = [], Position()
    for position, examples in first_epoch(stream):
        collator(examples)
        if position.turn <= blocks / 2:
            middle = position
        if measurable and position.turn >= MARKS[len(mib)] * blocks:
            mib.append(peak(CPU) / MIB)
            reset_peak(CPU)
    return {"resident_mib": [*mib, peak(CPU) / MIB] if measurable else []}, middle


def first_epoch(stream: Stream) -> Iterator[tuple[Position, list[dict[str, Any]]]]:
    """What the first shard has of the corpus once."""
    return itertools.takewhile(lambda item: item[0].epoch == 0, stream.read(0, Position()))


def table(figures: dict[str, Any]) -> str:
    """A row for each corpus."""
    lines = [f"{key}: {value}" for key, value in figures["hardware"].items()]
    heads = ["corpus, MB", "lines", "reading alone, lines/s", "MB/s", "with tokenizing and collating, lines/s"]
    heads += ["tokens/s", *(f"MiB up to {mark:.0%}" for mark in MARKS), "resume in the middle, s"]
    rows = []
    for row in figures["rows"]:
        names = (
            "lines",
            "read_lines_per_second",
            "read_megabytes_per_second",
            "lines_per_second",
            "tokens_per_second",
        )
        cells = [f"{row['megabytes']:g}", *(f"{row[name]:,.0f}" for name in names)]
        cells += [f"{mib:,.0f}" for mib in row["resident_mib"]] or ["not measured"] * len(MARKS)
        rows.append([*cells, f"{row['resume_seconds']:.1f}"])
    return "\n".join([*lines, "", markdown_table(heads, rows)])


if __name__ == "__main__":
    main()
