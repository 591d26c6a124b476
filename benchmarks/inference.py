"""How small and how fast models are: size, latency, throughput, and memory, by several backends.

python benchmarks/inference.py --models outputs/tiny-5k DeepPavlov/rubert-base-cased-conversational
python benchmarks/inference.py --backends torch onnx-int8 --batch_sizes 1 16 --sequence_length 512 --output speed.json

A model is a folder, a Hub id, a recipe, or a shape (`benchmarks/shapes`); the latter two have random weights, which
are as fast as trained ones. Without `--models` they are the systems of the DistilRuBERT model cards, whose protocol is
the default: random sequences of 512 tokens, alone (latency) and 16 together (throughput).

Every row runs in a process of its own, several times: once in each round, in turn with all others. A time is the
median of the rounds' medians, with the least and the largest; rounds that do not agree are no figure (`rounds.py`).
Peak memory is what such a process holds at most above one that has loaded nothing but libraries; on a GPU, what torch
has allocated. The bound is explained in `roofline.py`.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

import torch
from tqdm.auto import tqdm

from benchmarks.backends.runtimes import BACKENDS
from benchmarks.reporting import speed
from benchmarks.timing.measure import hardware, show
from benchmarks.timing.options import count, output_file, positive
from benchmarks.timing.roofline import Machine, measure_machine, work
from benchmarks.timing.rounds import advice, verdict
from benchmarks.timing.systems import HEADS, PUBLISHED, System, systems
from benchmarks.timing.worker import build, in_process, random_inputs, visit
from distillation.config.command_line import CommandLine
from distillation.config.errors import UserError, cli_entry
from distillation.models.loading import position_count

Row = dict[str, Any]


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure; print the table and one line of JSON. Exit code 1 if a row could not be measured.

    Raises UserError if none can be.
    """
    arguments = parse(argv)
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    rows = plan(arguments)
    if all("error" in row for row in rows):
        raise UserError(f"{rows[0]['model']} by {rows[0]['backend']}: {rows[0]['error']}")
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        machine = measure(rows, arguments, Path(folder))
    figures = {"hardware": hardware(device), "peak": vars(machine), "rows": rows}
    show(speed.table([row | {"hardware": "here"} for row in rows]), figures, arguments.output)
    if busy := advice(row["seconds"] for row in rows if "error" not in row):
        print(f"warning: {busy}", file=sys.stderr)
    failures: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if "error" in row:
            failures.setdefault((row["model"], row["error"]), {})[row["backend"]] = None
    for (model, error), backends in failures.items():
        print(f"error: {model} by {', '.join(backends)}: {error}", file=sys.stderr)
    if failures:
        raise SystemExit(1)
    return figures


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[str(path) for path in PUBLISHED])
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=["encoder"])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=["torch", "onnx", "onnx-int8"])
    parser.add_argument("--batch_sizes", nargs="+", type=count, default=[1, 16])
    parser.add_argument("--sequence_length", type=count, default=512)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=count, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--seconds", type=positive, default=1.0, help="At least so long a row runs in each round.")
    parser.add_argument("--output", type=output_file, help="JSON file for the figures.")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU")
    return arguments


def plan(arguments: argparse.Namespace) -> list[Row]:
    """A row for each thing to measure, with what is known of it beforehand, or with the reason why it cannot be."""
    rows = []
    choices = systems(arguments.models), arguments.heads, arguments.backends, arguments.batch_sizes
    for system, head, backend, batch_size in itertools.product(*choices):
        row = {"model": system.name, "source": system.source, "head": head, "backend": backend}
        row |= {"device": arguments.device, "batch_size": batch_size, "sequence_length": arguments.sequence_length}
        rows.append(row | _attempt(facts, system, row))
    return rows


def _attempt(function: Callable[..., Row], *arguments: Any) -> Row:
    try:
        return function(*arguments)
    except UserError as error:
        return {"error": str(error)}


def facts(system: System, row: Row) -> Row:
    """The parameters of a row's model, its vocabulary, and the work that its matrix products are.

    Raises UserError for a model, a length, or a backend that cannot be.
    """
    backend, length = BACKENDS[row["backend"]], row["sequence_length"]
    backend.check(row["backend"], row["device"])
    model = system.skeleton(row["head"])
    if length > position_count(model):
        raise UserError(f"`sequence_length` {length} exceeds its {position_count(model)} positions")
    flops, weights = work(model, row["batch_size"], length)
    known = {"parameters": model.num_parameters(), "vocabulary": model.config.vocab_size}
    return known | {"flops": flops, "weights": weights}


def measure(rows: list[Row], arguments: argparse.Namespace, folder: Path) -> Machine:
    """Fill in the rows: build each model, then time all of them in turns; what the machine did at its best."""
    machine, precisions = Machine({}, 0.0), {BACKENDS[name].precision for name in arguments.backends}
    with tqdm(total=len(rows) * (1 + arguments.rounds), desc="Building", disable=None) as steps:
        built: dict[tuple, Row] = {}
        for row in rows:
            steps.update()
            if "error" not in row:
                key = row["model"], row["head"], row["backend"]
                if key not in built:
                    built[key] = _built(row, folder / str(len(built)))
                row |= built[key] | {"seconds": [], "peak_mib": []}
        steps.set_description("Timing")
        for _ in range(arguments.rounds):
            machine = machine.best(measure_machine(precisions, torch.device(arguments.device)))
            for row in rows:
                steps.update()
                if "error" not in row:
                    _time(row, arguments)
    for row in rows:
        for key in ("folder", "vocabulary"):
            row.pop(key, None)
        if "error" not in row:
            row |= verdict(row["seconds"])
            row["bound_seconds"] = machine.bound(row["flops"], row["weights"], BACKENDS[row["backend"]].precision)
    return machine


def _built(row: Row, folder: Path) -> Row:
    folder.mkdir()
    system = System(row["model"], row["source"])
    return _attempt(in_process, build, system, row["head"], row["backend"], folder) | {"folder": folder}


def _time(row: Row, arguments: argparse.Namespace) -> None:
    inputs = random_inputs(row["vocabulary"], row["batch_size"], row["sequence_length"])
    settings = arguments.threads, arguments.device, arguments.seconds
    found = _attempt(in_process, visit, row["backend"], row["folder"], inputs, *settings)
    if "error" in found:
        row |= found
        return
    for key in found:
        row[key].append(found[key])


if __name__ == "__main__":
    main()
