"""What a process of its own does: build a model for a backend, or time it."""

import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.backends.registry import BACKENDS, Arrays
from benchmarks.timing.measure import MIB, peak, reset_peak, synchronise
from benchmarks.timing.systems import System
from distillation.config.errors import UserError, one_line

WARM_UP = 0.3  # seconds
SCARCE = ("allocate memory", "out of memory", "bad_alloc", "bad allocation")  # of torch, CUDA, C++
SAMPLES = 16  # inputs to measure the scales of int8 activations


def build(system: System, head: str, backend: str, folder: Path) -> dict[str, Any]:
    """Make what the backend opens; the size of that file."""
    model = system.load(head)
    length = min(128, model.config.max_position_embeddings // 2)
    samples = [random_inputs(model.config.vocab_size, 2, length, seed) for seed in range(SAMPLES)]
    samples[0]["attention_mask"][1, length // 2 :] = 0
    way = BACKENDS[backend]
    way.build(model, samples, folder)
    weights = folder / way.file
    return {"mib": sum(path.stat().st_size for path in weights.parent.glob(f"{weights.stem}.*")) / MIB}


def random_inputs(vocabulary: int, batch_size: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Sequences of random tokens without padding, as the published figures have them."""
    ids = np.random.default_rng(seed).integers(0, vocabulary, (batch_size, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def time_calls(
    backend: str, folder: Path, inputs: Arrays, threads: int, device: str, seconds: float
) -> dict[str, float]:
    """Open a model, warm it up, and call it for at least so many seconds: the median of a call, and the peak memory
    above what the process held before."""
    place = torch.device(device)
    held = reset_peak(place)
    run = BACKENDS[backend].open(folder, threads, device)

    def call() -> float:
        start = time.perf_counter()
        run(inputs)
        synchronise(place)
        return time.perf_counter() - start

    _for(WARM_UP, call)
    taken = _for(seconds, call)
    found = {"seconds": statistics.median(taken)}
    return found if held is None else found | {"peak_mib": (peak(place) - held) / MIB}


def _for(seconds: float, call: Callable[[], float]) -> list[float]:
    taken = [call()]
    while sum(taken) < seconds:
        taken.append(call())
    return taken


def in_process(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What a function of this module gives in a fresh process, which holds nothing but libraries.

    Raises UserError with one sentence for whatever went wrong there.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        result, error = receiver.recv()
    except EOFError:
        result, error = {}, "its process was killed: out of memory, most likely"
    process.join()
    if error:
        raise UserError(error)
    return result


def _answer(sender: Connection, function: Callable[..., dict[str, Any]], arguments: tuple) -> None:
    transformers.utils.logging.disable_progress_bar()
    try:
        sender.send((function(*arguments), None))
    except Exception as error:  # of any type: the other rows go on
        text = one_line(error)
        scarce = isinstance(error, MemoryError) or any(sign in text for sign in SCARCE)
        sender.send((None, "out of memory" if scarce else text))
