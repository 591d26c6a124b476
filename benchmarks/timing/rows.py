"""The rows of a measurement: what is known of each beforehand, how it is built, and its rounds in turn with others."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from benchmarks.backends.registry import BACKENDS
from benchmarks.timing.roofline import Machine, measure_machine, work
from benchmarks.timing.rounds import verdict
from benchmarks.timing.systems import System, systems
from benchmarks.timing.worker import build, in_process, random_inputs, time_calls
from distillation.config.errors import UserError
from distillation.models.loading import position_count

if TYPE_CHECKING:
    from benchmarks.inference import InferenceArguments

Row = dict[str, Any]


def plan(arguments: "InferenceArguments") -> list[Row]:
    """A row for each thing to measure, with what is known of it, or under `error` why it cannot be measured."""
    choices = arguments.heads, arguments.backends, arguments.batch_sizes, arguments.sequence_lengths
    rows = []
    for system, head, backend, size, length in itertools.product(systems(arguments.models), *choices):
        row = {"model": system.name, "source": system.source, "head": head, "backend": backend}
        row |= {"device": arguments.device, "batch_size": size, "sequence_length": length}
        rows.append(row | _attempt(facts, system, row))
    return rows


def _attempt(function: Callable[..., Row], *arguments: Any) -> Row:
    try:
        return function(*arguments)
    except UserError as error:
        return {"error": str(error)}


def facts(system: System, row: Row) -> Row:
    """The parameters of a row's model, and the work that its matrix products are.

    Raises UserError for a model, a length, or a backend that cannot be.
    """
    BACKENDS[row["backend"]].check(row["device"])
    model = system.skeleton(row["head"])
    if row["sequence_length"] > position_count(model):
        positions = position_count(model)
        raise UserError(f"`sequence_lengths` {row['sequence_length']} exceeds its {positions} positions")
    flops, weights = work(model, row["batch_size"], row["sequence_length"])
    known = {"parameters": model.num_parameters(), "vocabulary": model.config.vocab_size}
    return known | {"flops": flops, "weights": weights}


def measure(rows: list[Row], arguments: "InferenceArguments", rounds: int, folder: Path) -> Machine:
    """Fill in the rows: build each model, then time all of them in turns; what the machine did at its best."""
    machine, precisions = Machine({}, 0.0), {BACKENDS[name].precision for name in arguments.backends}
    built: dict[tuple, Row] = {}
    for row in tqdm([row for row in rows if "error" not in row], "Building", disable=None):
        key = row["model"], row["head"], row["backend"]
        if key not in built:
            built[key] = _built(row, folder / str(len(built)))
        row |= built[key] | {"seconds": [], "peak_mib": []}
    for _ in range(rounds):
        machine = machine.best(measure_machine(precisions, torch.device(arguments.device)))
        for row in tqdm([row for row in rows if "error" not in row], "Timing", disable=None):
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


def _time(row: Row, arguments: "InferenceArguments") -> None:
    """One round of a row."""
    settings = arguments.threads, arguments.device, arguments.seconds
    inputs = random_inputs(row["vocabulary"], row["batch_size"], row["sequence_length"])
    found = _attempt(in_process, time_calls, row["backend"], row["folder"], inputs, *settings)
    if "error" in found:
        row |= found
    else:
        for key in found:
            row[key].append(found[key])
