"""One model in a fresh Python, as in the program of a user; `on_device.py` starts it. Imports as little as that."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from distillation.runs.memory import peak

WARM_UP = 5  # answers
LEAST = 20  # answers that are timed


def main() -> None:
    """Read a request from standard input, answer it, and write a line at the first answer and one of JSON at the end.

    The request: `way`, `folder`, `texts` by their numbers of tokens, `many` texts to answer together, `seconds`.
    The reply: the peak memory in bytes with single texts, for each length the sorted times of single answers in
    seconds, and the answers a second of many.
    """
    request = json.loads(sys.stdin.read())
    ask, ask_all = opened(request["way"], request["folder"])
    ask(next(iter(request["texts"].values())))
    print("answered", flush=True)
    found: dict[str, Any] = {"times": {}}
    for length, text in request["texts"].items():
        found["times"][length] = sorted(times(lambda text=text: ask(text), request["seconds"]))
    found["peak"] = peak()
    start = time.perf_counter()
    ask_all(request["many"])
    print(json.dumps(found | {"rate": len(request["many"]) / (time.perf_counter() - start)}))


def opened(way: str, folder: str) -> tuple[Callable[[str], Any], Callable[[Sequence[str]], Any]]:
    """Two functions on one thread: one answers a text, the other answers many."""
    if way == "torch":
        import torch
        from transformers import pipeline

        torch.set_num_threads(1)
        pipe = pipeline("text-classification", model=folder, device="cpu")
        return pipe, lambda texts: pipe(list(texts), batch_size=32)
    from finetuning.deployed.model import Model

    model = Model(folder, 1)
    return model, lambda texts: model.batch([(text,) for text in texts])


def times(call: Callable[[], Any], seconds: float) -> list[float]:
    """Seconds of each call."""
    for _ in range(WARM_UP):
        call()
    taken: list[float] = []
    while len(taken) < LEAST or sum(taken) < seconds:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return taken
