"""Measures the rows of the inference table. Every round of a row runs in its own process.

A fresh process holds only libraries, so its peak is the memory of the model and its call.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from tqdm.auto import tqdm

from benchmarks.backends.registry import BACKENDS, Arrays
from benchmarks.timing.measure import MIB, record_peak, synchronise, verdict
from benchmarks.timing.roofline import Machine, measure_machine, work
from benchmarks.timing.systems import SYSTEMS, System, systems
from distillation.config.errors import UserError, one_line
from distillation.models.loading import position_count

if TYPE_CHECKING:
    from benchmarks.inference import InferenceArguments

Row = dict[str, Any]
WARM_UP = 0.3  # seconds
NO_ROOM = ("allocate memory", "out of memory", "bad_alloc", "bad allocation")  # messages of torch, CUDA, C++
SAMPLES = 16  # inputs to measure the scales of int8 activations


def plan(arguments: "InferenceArguments") -> list[Row]:
    """A row for each measurement, with facts about the model, or with an `error` if it cannot be measured."""
    choices = arguments.heads, arguments.backends, arguments.batch_sizes, arguments.sequence_lengths
    rows = []
    for system, head, backend, size, length in itertools.product(systems(arguments.models or SYSTEMS), *choices):
        row = {"model": system.name, "source": system.source, "head": head, "backend": backend}
        row |= {"device": arguments.device, "batch_size": size, "sequence_length": length}
        try:
            rows.append(row | _facts(system, row))
        except UserError as error:
            rows.append(row | {"error": str(error)})
    return rows


def _facts(system: System, row: Row) -> Row:
    """Parameters of the model, and the work of its matrix products. Raises UserError for a row that cannot run."""
    BACKENDS[row["backend"]].check(row["device"])
    model = system.skeleton(row["head"])
    if row["sequence_length"] > (positions := position_count(model)):
        raise UserError(f"`sequence_lengths` {row['sequence_length']} exceeds its {positions} positions")
    try:
        flops, weights = work(model, row["batch_size"], row["sequence_length"])
    except Exception as error:  # RemBERT asks for values, which a skeleton lacks
        name, why = type(model).__name__, one_line(error)
        raise UserError(f"the work of a {name} cannot be counted ({why}): leave this model out") from None
    known = {"parameters": model.num_parameters(), "vocabulary": model.config.vocab_size}
    return known | {"flops": flops, "weights": weights}


def measure(rows: list[Row], arguments: "InferenceArguments", rounds: int, folder: Path) -> Machine:
    """Fill in the rows: build each model, then time all of them in turns. Returns the machine's best rates."""
    precisions, measured = {BACKENDS[name].precision for name in arguments.backends}, []
    settings = arguments.threads, arguments.device, arguments.seconds
    built: dict[tuple, Row] = {}
    for row in tqdm([row for row in rows if "error" not in row], "Building", disable=None):
        system, head, backend = key = System(row["model"], row["source"]), row["head"], row["backend"]
        if key not in built:
            place = folder / str(len(built))
            built[key] = in_process(build, system, head, backend, place) | {"folder": place}
        row |= built[key] | {"seconds": [], "peak_mib": []}
    for _ in range(rounds):
        measured.append(measure_machine(precisions, torch.device(arguments.device)))
        for row in tqdm([row for row in rows if "error" not in row], "Timing", disable=None):
            inputs = random_inputs(row["vocabulary"], row["batch_size"], row["sequence_length"])
            found = in_process(time_calls, row["backend"], row["folder"], inputs, *settings)
            row |= found if "error" in found else {key: row[key] + found[key] for key in found}
    # The best of all rounds: other work of a machine can only make it look slower.
    flops = {name: max(one.flops[name] for one in measured) for name in measured[0].flops}
    machine = Machine(flops, max(one.bandwidth for one in measured))
    for row in rows:
        row.pop("folder", None)
        row.pop("vocabulary", None)
        if "error" not in row:
            bound = machine.bound(row["flops"], row["weights"], BACKENDS[row["backend"]].precision)
            row |= verdict(row["seconds"]) | {"bound_seconds": bound}
    return machine


def in_process(function: Callable[..., Row], *arguments: Any) -> Row:
    """The row that a function returns in a fresh process; if it fails, one sentence under `error`."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    try:
        with ProcessPoolExecutor(1, context) as pool:
            return pool.submit(_answer, function, *arguments).result()
    except BrokenProcessPool:
        return {"error": "its process was killed: out of memory, most likely"}


def _answer(function: Callable[..., Row], *arguments: Any) -> Row:
    transformers.utils.logging.disable_progress_bar()
    try:
        return function(*arguments)
    except Exception as error:  # of any type: the other rows go on
        text = one_line(error)
        no_room = isinstance(error, MemoryError) or any(sign in text for sign in NO_ROOM)
        return {"error": "out of memory" if no_room else text}


def build(system: System, head: str, backend: str, folder: Path) -> Row:
    """Build the backend's file; returns its size."""
    folder.mkdir()
    model = system.load(head)
    length = min(128, model.config.max_position_embeddings // 2)
    samples = [random_inputs(model.config.vocab_size, 2, length, seed) for seed in range(SAMPLES)]
    samples[0]["attention_mask"][1, length // 2 :] = 0
    BACKENDS[backend].build(model, samples, folder)
    files = folder.glob(f"{Path(BACKENDS[backend].file).stem}.*")  # OpenVINO has two
    return {"mib": sum(path.stat().st_size for path in files) / MIB}


def random_inputs(vocabulary: int, batch_size: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Sequences of random tokens without padding, as the published figures have them."""
    ids = np.random.default_rng(seed).integers(0, vocabulary, (batch_size, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def time_calls(
    backend: str, folder: Path, inputs: Arrays, threads: int, device: str, seconds: float
) -> dict[str, list[float]]:
    """Open a model, warm it up, and call it for at least so many seconds.

    Returns the median time of a call, and the peak memory above what the process held before.
    """
    place = torch.device(device)
    peak = record_peak(place)
    run = BACKENDS[backend].open(folder, threads, device)

    def times(least: float) -> list[float]:
        taken: list[float] = []
        while not taken or sum(taken) < least:
            start = time.perf_counter()
            run(inputs)
            synchronise(place)
            taken.append(time.perf_counter() - start)
        return taken

    times(WARM_UP)
    return {"seconds": [statistics.median(times(seconds))], "peak_mib": peak()}
