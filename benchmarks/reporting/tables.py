"""The tables of a report: distillation runs by variant, and the speed of models.

Runs that differ only in their seed are one variant. Its figures are means over these runs.
"""

import json
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.timing.measure import is_steady, number_text, time_text
from distillation.runs import files
from distillation.runs.files import METRICS, RESULTS, STATE, explain_bad_results, markdown_table

OF_ONE_RUN = ("seed", "data_seed", "output_dir")  # keys in which runs of one variant differ
HEADINGS = ("model", "parameters", "head", "batch x length", "backend", "MiB on disk", "ms: median [least, largest]")
HEADINGS += ("sequences/s", "times as fast", "share of the bound", "peak MiB")
INPUT = ("hardware", "device", "head", "batch_size", "sequence_length")  # timings are compared if these are equal
Figures = dict[str, list[float]]  # for each of `METRICS` one of each run
Timing = Mapping[str, Any]


class Variant(NamedTuple):
    """A model with the figures of each of its runs on held-out text.

    source: the folder or id that other results know it by; logs: what the runs logged.
    """

    name: str
    source: str
    parameters: int
    steps: int | str
    figures: Figures
    logs: Sequence[Sequence[Mapping[str, float]]] = ()


def variants(runs: Mapping[Path, Mapping[str, Any]]) -> list[Variant]:
    """The variants of the runs that trained a student, each after its teacher."""
    groups: dict[str, dict[int, Path]] = {}  # by recipe, a run a seed
    for folder, run in runs.items():
        if "student_heldout_loss" in run:
            with explain_bad_results(folder / RESULTS):
                recipe = {name: value for name, value in run["recipe"].items() if name not in OF_ONE_RUN}
                seeds = groups.setdefault(json.dumps(recipe, sort_keys=True), {})
                seeds.setdefault(run["recipe"].get("seed"), folder)
    root = os.path.commonpath([folder.parent for seeds in groups.values() for folder in seeds.values()] or ["."])
    found: dict[str, Variant] = {}
    for folders in (list(seeds.values()) for seeds in groups.values()):
        with explain_bad_results(folders[0] / RESULTS):
            members = [runs[folder] for folder in folders]
            first, source = members[0], members[0]["recipe"]["teacher_name_or_path"]
            teacher = Path(source).name, source, int(first["teacher_parameters"]), "", figures_of("teacher", [first])
            found.setdefault(teacher[0], Variant(*teacher))
            name = os.path.relpath(folders[0], root)
            if len(folders) > 1:
                name = re.sub(r"[-_/](seed[-_]?)?\d+$", "", name)
            logs = [files.read_json(folder / STATE)["log_history"] for folder in folders if (folder / STATE).is_file()]
            known = str(folders[0]), int(first["parameters"]), first["steps"], figures_of("student", members), logs
            found[name] = Variant(name, *known)
    return list(found.values())


def figures_of(role: str, runs: Sequence[Mapping[str, Any]]) -> Figures:
    """The figures of a model that has this role (`student`, `student_before`, `teacher`) in the runs."""
    return {metric: [float(run[f"{role}_heldout_{metric}"]) for run in runs] for metric in METRICS}


def variant_table(found: Sequence[Variant]) -> str:
    """A Markdown table with a row for each variant: means and, over several seeds, standard deviations."""
    lines = [
        [one.name, f"{one.parameters:,}", one.steps, len(one.figures["loss"])]
        + [files.metric_text(metric, one.figures[metric]) for metric in METRICS]
        for one in found
    ]
    return markdown_table(["model", "parameters", "steps", "seeds", *files.HEADINGS], lines)


def milliseconds(row: Timing) -> float:
    """The median over the rounds."""
    return 1000 * statistics.median(row["seconds"])


def speed_table(timings: Sequence[Timing]) -> str:
    """A Markdown table with a group of rows for each input: the largest model first, rows with an error last.

    "times as fast" compares with the largest model in PyTorch. For rounds that do not agree, the table has their
    spread, and no figure that follows from their median.
    """
    rows = sorted(timings, key=lambda row: ("error" in row, -row.get("parameters", 0), row["model"]))
    inputs = list(dict.fromkeys(map(_input, rows)))
    largest: dict[tuple, Timing] = {}
    for row in rows:
        if row["backend"] == "torch" and "error" not in row:
            largest.setdefault(_input(row), row)
    rows.sort(key=lambda row: inputs.index(_input(row)))
    return markdown_table(HEADINGS, [_cells(row, largest.get(_input(row))) for row in rows])


def _input(row: Timing) -> tuple:
    return tuple(row[key] for key in INPUT)


def _cells(row: Timing, largest: Timing | None) -> list[str]:
    cells = [row["model"], f"{row['parameters']:,}" if "parameters" in row else "", row["head"]]
    cells.append(f"{row['batch_size']} x {row['sequence_length']}")
    cells.append(row["backend"] if row["device"] == "cpu" else f"{row['backend']}, {row['device']}")
    if "error" in row:
        return [*cells, "", f"not measured: {' '.join(row['error'].split())}", "", "", "", ""]
    found, bound, mib, peak = milliseconds(row), row.get("bound_seconds"), row.get("mib"), row.get("peak_mib")
    steady = is_steady(row["seconds"])
    compared = largest and steady and is_steady(largest["seconds"])
    return [
        *cells,
        f"{mib:.1f}" if mib else "",
        time_text(row["seconds"]),
        number_text(1000 * row["batch_size"] / found) if steady else "",
        f"{milliseconds(largest) / found:.2f}" if compared else "",
        f"{1000 * bound / found:.0%}" if bound and steady else "",
        f"{statistics.median(peak):.0f}" if peak else "",
    ]


def single_inputs(timings: Sequence[Timing]) -> list[Timing]:
    """The steady rows with batch size 1 and the longest input."""
    rows = [row for row in timings if "error" not in row and row["batch_size"] == 1 and is_steady(row["seconds"])]
    longest = max(rows, key=lambda row: row["sequence_length"], default=None)
    return [row for row in rows if _input(row) == _input(longest)]
