"""Times an answer from end to end: a text goes in, a label or a word comes out, by the code that users deploy.

The text is of the demo corpus, as long as the row says. A model without a tokenizer (a recipe, a shape) gets one of
that corpus.
"""

import gzip
from bisect import bisect_right
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks.timing.measure import time_calls
from benchmarks.timing.systems import KEY, System
from distillation.config.errors import UserError
from distillation.demo.resolve import CORPUS
from distillation.hub.snippets import TASKS
from distillation.models.loading import fit_tokenizer, load_tokenizer_of
from distillation.models.tokenizer_file import save_tokenizer
from distillation.runs.files import write_json
from distillation.vocabularies.wordpiece import train_tokenizer
from finetuning.deployed.checkpoint import Checkpoint, config_of
from finetuning.deployed.model import Model

ENTRIES = 800  # of the vocabulary of the demo's teacher
LINES = 4000  # of the demo corpus


class CheckpointOnCpu(Checkpoint):
    """A checkpoint that answers where exported folders do, as it is compared with these."""

    device = "cpu"


READERS = {"torch": CheckpointOnCpu, "onnx": Model, "onnx-int8": Model}


def reads_texts(row: Mapping[str, Any]) -> bool:
    """Whether texts can be timed too: single ones on the CPU, of a model with a head."""
    single = row["batch_size"] == 1 and row["device"] == "cpu"
    return single and row["head"] != "encoder" and row["backend"] in READERS


def write_tokenizer(system: System, model: PreTrainedModel, folder: Path) -> None:
    """Complete the folder of a built model, so that it can be asked for answers."""
    architecture = type(model).__name__
    task = next((task for end, task in TASKS.items() if architecture.endswith(end)), None)
    if task is None:  # an encoder has no answers
        return
    model.config.architectures = [architecture]
    try:
        tokenizer = load_tokenizer_of(model, system.source, KEY)
    except UserError:  # it has none that fits
        tokenizer = train_tokenizer(demo_lines(LINES), min(ENTRIES, model.config.vocab_size))
        fit_tokenizer(tokenizer, model)
    save_tokenizer(tokenizer, folder, vocab_txt=False)
    write_json(folder / "config.json", config_of(model, tokenizer, task))


def demo_lines(count: int) -> list[str]:
    """The first lines of the demo corpus."""
    with gzip.open(CORPUS, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in islice(file, count)]


def text_of(model: Model, length: int) -> str:
    """A text of so many tokens, or as near below as words and full stops come."""
    words = [model.config["mask_token"]] if model.kind == "mask" else []
    words += " ".join(demo_lines(length)).split()  # a line has a word at least, a word a token

    def tokens(text: str) -> int:
        encoding = model.tokenizer.encode(text)
        return len(encoding) + len(encoding.overflowing)  # more than the model reads at once

    fitting = bisect_right(range(length), length, key=lambda count: tokens(" ".join(words[:count])))
    texts = (" ".join([*words[: fitting - 1], *["."] * stops]) for stops in range(length, -1, -1))
    return next(text for text in texts if tokens(text) <= length)


def time_texts(backend: str, folder: Path, threads: int, length: int, seconds: float) -> dict[str, list[float]]:
    """Open a deployed model, and ask it for at least so many seconds; the figures of `time_calls`."""
    torch.set_num_threads(threads)
    model = READERS[backend](folder, threads)
    text = text_of(model, length)
    found = time_calls(lambda: model(text), seconds, torch.device("cpu"))
    return {f"text_{name}": values for name, values in found.items()}
