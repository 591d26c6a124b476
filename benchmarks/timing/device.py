"""Measures what a model costs where it is used: megabytes to install, the first answer, memory, times of answers."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from itertools import product
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from tqdm.auto import tqdm

from benchmarks.page.browser import run_script, served
from benchmarks.page.writing import EXPORTED, write_page
from benchmarks.timing import asking
from benchmarks.timing.measure import percentile
from benchmarks.timing.rows import build, in_process
from benchmarks.timing.systems import systems
from benchmarks.timing.texts import demo_lines, text_of
from distillation.config.command_line import ROOT
from distillation.config.errors import UserError
from finetuning.deployed.model import Model

# By how a model is run, the packages that a user installs.
WAYS = {"torch": ("torch", "transformers"), "onnx-int8": ("numpy", "onnxruntime", "tokenizers")}
HEAD = "classification"
TEXTS = 1000  # answered together
SECONDS = 1.0  # least time of single answers of a length
ALONE = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
MODULE = "from benchmarks.timing.asking import main; main()"
EXPORT, BROWSER = "onnx-int8", "browser"  # a page is made of an export

Row = dict[str, Any]


def measure(sources: list[str], lengths: list[int], rounds: int, folder: Path, browser: bool = False) -> list[Row]:
    """A row for each model and way to run it; figures are lists with one of each round. The rows take turns.

    folder: where the models are built; browser: whether to run each export as a page, too. Raises UserError for a
    model that cannot be built.
    """
    rows, requests = [], []
    ways = [*WAYS, BROWSER] if browser else [*WAYS]
    sizes = {way: installed(packages) for way, packages in WAYS.items()}
    for system, way in tqdm([*product(systems(sources), ways)], "Building", disable=None):
        place = folder / f"{len(rows)}"
        row = {"model": system.name, "parameters": system.skeleton(HEAD).num_parameters(), "way": way}
        if way == BROWSER:
            total = write_page(Path(requests[-1]["folder"]), row | {"backend": EXPORT}, place)
            sizes[way] = total - size(place / name for name in EXPORTED)
        elif error := in_process(build, system, HEAD, way, place).get("error"):
            raise UserError(f"{system.name} by {way}: {error}")
        files = (place / name for name in EXPORTED) if way == BROWSER else place.iterdir()
        row |= {"package_bytes": sizes[way], "model_bytes": size(files)}
        rows.append(row | {"first_answer": [], "peak": [], "rate": [], "p50": {}, "p95": {}})
        requests.append({"way": way, "folder": str(place), "many": demo_lines(TEXTS), "seconds": SECONDS})
    for first in range(0, len(requests), len(ways)):
        of_model = requests[first : first + len(ways)]
        exported = Model(of_model[1]["folder"], 1)
        texts = {str(length): text_of(exported, length) for length in lengths}
        for request in of_model:
            request["texts"] = texts
    for _ in range(rounds):
        for row, request in tqdm([*zip(rows, requests, strict=True)], "Asking", disable=None):
            add(row, *(ask_page if row["way"] == BROWSER else ask)(request))
    return rows


def ask_page(request: Row) -> tuple[float, Row]:
    """Seconds from the opening of a page in a fresh browser to its first answer, and the rest as in `ask`."""
    limits = {"warm_up": asking.WARM_UP, "least": asking.LEAST}
    with served(Path(request["folder"])) as url:
        found = run_script(Path(asking.__file__).with_suffix(".mjs"), request | limits | {"url": url})
    return found["first"], found


def ask(request: Row) -> tuple[float, Row]:
    """Seconds from the start of a Python to its first answer, and what `asking.py` replies."""
    command, first, lines = [sys.executable, "-c", MODULE], 0.0, []
    with tempfile.TemporaryFile("w+") as asked, tempfile.TemporaryFile("w+") as errors:
        asked.write(json.dumps(request))  # a pipe would break where Python ends before it has read all
        asked.seek(0)
        files = {"stdin": asked, "stdout": subprocess.PIPE, "stderr": errors}
        start = time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT, env=os.environ | ALONE, text=True, **files) as process:
            for line in process.stdout:
                first = first or (time.perf_counter() - start) * (line == "answered\n")
                lines.append(line)
        if process.returncode:
            errors.seek(0)
            ended = errors.read().strip().splitlines() or [
                f"it ended with {process.returncode}, perhaps out of memory"
            ]
            raise UserError(f"{request['folder']} by {request['way']} gave no answer: {ended[-1]}")
    return first, json.loads(lines[-1])


def add(row: Row, first: float, found: Row) -> None:
    """Add one round to a row."""
    row["first_answer"].append(first)
    for name in ("peak", "rate"):
        row[name].append(found[name])
    for length, taken in found["times"].items():
        for share in (50, 95):
            row[f"p{share}"].setdefault(length, []).append(percentile(taken, share))


def installed(names: tuple[str, ...]) -> int:
    """Bytes of some packages and of all that they require, as they are installed here."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        one = distribution(waiting.pop())
        if one.metadata["Name"] not in found:
            found[one.metadata["Name"]] = one
            required = map(Requirement, one.requires or [])
            waiting += [need.name for need in required if need.marker is None or need.marker.evaluate({"extra": ""})]
    return size({file.locate() for one in found.values() for file in one.files or []})


def size(paths: Iterable[Any]) -> int:
    """Bytes of those that are files."""
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
