"""Measures the rows of the inference table. Every round of a row runs in its own process.

A fresh process holds only libraries, so its peak is the memory of the model and its call.
"""

import itertools
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
from benchmarks.timing.measure import MIB, is_quiet, record_peak, time_calls
from benchmarks.timing.roofline import Machine, best, measure_machine, work
from benchmarks.timing.systems import SYSTEMS, System, systems
from benchmarks.timing.texts import reads_texts, time_texts, write_tokenizer
from distillation.config.errors import UserError, one_line
from distillation.models.loading import position_count

if TYPE_CHECKING:
    from benchmarks.inference import InferenceArguments

Row = dict[str, Any]
NO_ROOM = ("allocate memory", "out of memory", "bad_alloc", "bad allocation")  # messages of torch, CUDA, C++
SAMPLES = 16  # inputs to measure the scales of int8 activations


def plan(arguments: "InferenceArguments") -> list[Row]:
    """A row for each measurement, with facts about the model, or with an `error` if it cannot be measured."""
    choices = arguments.heads, arguments.backends, arguments.threads, arguments.batch_sizes, arguments.sequence_lengths
    rows = []
    for system, *chosen in itertools.product(systems(arguments.models or SYSTEMS), *choices):
        row = {"model": system.name, "source": system.source, "device": arguments.device}
        row |= dict(zip(("head", "backend", "threads", "batch_size", "sequence_length"), chosen, strict=True))
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
        raise UserError(
            f"`sequence_lengths` {row['sequence_length']} exceeds its {positions} positions: name shorter ones"
        )
    try:
        flops, weights = work(model, row["batch_size"], row["sequence_length"])
    except Exception as error:  # RemBERT asks for values, which a skeleton lacks
        name, why = type(model).__name__, one_line(error)
        raise UserError(f"the work of a {name} cannot be counted ({why}): leave this model out") from None
    known = {"parameters": model.num_parameters(), "vocabulary": model.config.vocab_size}
    return known | {"flops": flops, "weights": weights}


def measure(rows: list[Row], arguments: "InferenceArguments", rounds: int, folder: Path) -> dict[int, Machine]:
    """Fill in the rows: build each model, then time all of them in turns. Returns the machine's best rates, by the
    number of threads."""
    precisions = {BACKENDS[name].precision for name in arguments.backends}
    measured: dict[int, list[Machine]] = {threads: [] for threads in arguments.threads}
    built: dict[tuple, Row] = {}
    for row in tqdm([row for row in rows if "error" not in row], "Building", disable=None):
        system, head, backend = key = System(row["model"], row["source"]), row["head"], row["backend"]
        if key not in built:
            place = folder / str(len(built))
            built[key] = in_process(build, system, head, backend, place) | {"folder": place}
        row |= built[key]
    for _ in range(rounds):
        for threads, found in measured.items():
            torch.set_num_threads(threads)
            found.append(measure_machine(precisions, torch.device(arguments.device)))
        for row in tqdm([row for row in rows if "error" not in row], "Timing", disable=None):
            _time(row, arguments.seconds)
    machines = {threads: best(found) for threads, found in measured.items()}
    for row in rows:
        row.pop("folder", None)
        row.pop("vocabulary", None)
        if "error" not in row:
            bound = machines[row["threads"]].bound(row["flops"], row["weights"], BACKENDS[row["backend"]].precision)
            row |= {"steady": is_quiet(row), "bound_seconds": bound}
    return machines


def _time(row: Row, seconds: float) -> None:
    """Add the figures of one round to the row's lists."""
    inputs = random_inputs(row["vocabulary"], row["batch_size"], row["sequence_length"])
    place = row["backend"], row["folder"], row["threads"]
    found = in_process(time_session, *place, inputs, row["device"], seconds)
    if reads_texts(row) and "error" not in found:
        found |= in_process(time_texts, *place, row["sequence_length"], seconds)
    row |= found if "error" in found else {key: row.get(key, []) + found[key] for key in found}


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
    length = min(128, position_count(model) // 2)
    samples = [random_inputs(model.config.vocab_size, 2, length, seed) for seed in range(SAMPLES)]
    samples[0]["attention_mask"][1, length // 2 :] = 0
    BACKENDS[backend].build(model, samples, folder)
    write_tokenizer(system, model, folder)
    files = folder.glob(f"{Path(BACKENDS[backend].file).stem}.*")  # OpenVINO has two
    return {"mib": sum(path.stat().st_size for path in files) / MIB}


def random_inputs(vocabulary: int, batch_size: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Sequences of random tokens without padding, as the published figures have them."""
    ids = np.random.default_rng(seed).integers(0, vocabulary, (batch_size, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def time_session(
    backend: str, folder: Path, threads: int, inputs: Arrays, device: str, seconds: float
) -> dict[str, list[float]]:
    """Open a model and call it for at least so many seconds.

    Returns the figures of `time_calls`, and the peak memory above what the process held before.
    """
    peak = record_peak(torch.device(device))
    run = BACKENDS[backend].open(folder, threads, device)
    return time_calls(lambda: run(inputs), seconds, torch.device(device)) | {"peak_mib": peak()}
