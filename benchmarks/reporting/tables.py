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

from benchmarks.timing.measure import is_quiet, number_text, row_time_text
from distillation.runs import files
from distillation.runs.files import METRICS, RESULTS, STATE, explain_bad_results, markdown_table

OF_ONE_RUN = ("seed", "data_seed", "output_dir")  # keys in which runs of one variant differ
HEADINGS = ("model", "parameters", "head", "batch x length", "backend", "MiB on disk", "ms: median [least, largest]")
HEADINGS += ("sequences/s", "times as fast", "share of the bound", "peak MiB")
HEADINGS_OF_TEXTS = ("model", "head", "backend", "threads", "tokens", "ms: median [least, largest]", "95 %", "99 %")
HEADINGS_OF_TEXTS += ("times as fast", "times the model alone", "ms on the processor")
# Timings are compared if these are equal.
INPUT = ("hardware", "device", "head", "threads", "batch_size", "sequence_length")
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
    groups: dict[str, dict[tuple, Path]] = {}  # by recipe, a run a seed
    for folder, run in runs.items():
        if "student_heldout_loss" in run:
            with explain_bad_results(folder / RESULTS):
                recipe = {name: value for name, value in run["recipe"].items() if name not in OF_ONE_RUN}
                seeds = groups.setdefault(json.dumps(recipe, sort_keys=True), {})
                seeds.setdefault((run["recipe"].get("seed"), run["recipe"].get("data_seed")), folder)
    root = os.path.commonpath([folder.parent for seeds in groups.values() for folder in seeds.values()] or ["."])
    found: dict[str, Variant] = {}  # by source

    def unlike(name: str, longer: str) -> str:
        return longer if any(one.name == name for one in found.values()) else name

    for folders in (list(seeds.values()) for seeds in groups.values()):
        with explain_bad_results(folders[0] / RESULTS):
            members = [runs[folder] for folder in folders]
            first, source = members[0], members[0]["recipe"]["teacher_name_or_path"]
            if source not in found:
                known = source, int(first["teacher_parameters"]), "", figures_of("teacher", [first])
                found[source] = Variant(unlike(Path(source).name, source), *known)
            name = path = os.path.relpath(folders[0], root)
            if len(folders) > 1:
                name = re.sub(r"(^|[-_/])(seed[-_]?)?\d+$", "", path) or folders[0].parent.name
            logs = [files.read_json(folder / STATE)["log_history"] for folder in folders if (folder / STATE).is_file()]
            known = str(folders[0]), int(first["parameters"]), first["steps"], figures_of("student", members), logs
            found[known[0]] = Variant(unlike(name, path), *known)
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


def speed_tables(timings: Sequence[Timing]) -> str:
    """The table of models alone, and that of texts where there are any."""
    texts = text_table(timings)
    return speed_table(timings) + (f"\n\nFrom a text to its answer:\n\n{texts}" if texts else "")


def speed_table(timings: Sequence[Timing]) -> str:
    """A Markdown table with a group of rows for each input: the largest model first, rows with an error last.

    "times as fast" compares with the largest model in PyTorch. For rounds that do not agree, the table has their
    spread, for those that waited for cores the word "busy", and no figure that follows from their median.
    """
    return markdown_table(HEADINGS, [_cells(row, largest) for row, largest in _grouped(timings)])


def text_table(timings: Sequence[Timing]) -> str:
    """The same of texts, as far as they were timed; empty if none was. Times of rounds are their medians."""
    rows = [row for row in timings if "text_seconds" in row and "error" not in row]
    lines = [_text_cells(row, largest) for row, largest in _grouped(rows)]
    return markdown_table(HEADINGS_OF_TEXTS, lines) if lines else ""


def _grouped(timings: Sequence[Timing]) -> list[tuple[Timing, Timing | None]]:
    """The rows in the order of a table, each with that of the largest model in PyTorch for the same input."""
    rows = sorted(timings, key=lambda row: ("error" in row, -row.get("parameters", 0), row["model"]))
    inputs = list(dict.fromkeys(map(_input, rows)))
    largest: dict[tuple, Timing] = {}
    for row in rows:
        if row["backend"] == "torch" and "error" not in row:
            largest.setdefault(_input(row), row)
    rows.sort(key=lambda row: inputs.index(_input(row)))
    return [(row, largest.get(_input(row))) for row in rows]


def _input(row: Timing) -> tuple:
    return tuple(row.get(key) for key in INPUT)  # older files tell nothing of threads


def _cells(row: Timing, largest: Timing | None) -> list[str]:
    cells = [row["model"], f"{row['parameters']:,}" if "parameters" in row else "", row["head"]]
    threads = ", threads: {threads}".format(**row) if "threads" in row else ""
    cells.append(f"{row['batch_size']} x {row['sequence_length']}{threads}")
    cells.append(row["backend"] if row["device"] == "cpu" else f"{row['backend']}, {row['device']}")
    if "error" in row:
        return [*cells, "", f"not measured: {' '.join(row['error'].split())}", "", "", "", ""]
    found, bound, mib, peak = milliseconds(row), row.get("bound_seconds"), row.get("mib"), row.get("peak_mib")
    quiet = is_quiet(row)
    compared = largest and quiet and is_quiet(largest)
    return [
        *cells,
        f"{mib:.1f}" if mib else "",
        row_time_text(row),
        number_text(1000 * row["batch_size"] / found) if quiet else "",
        f"{milliseconds(largest) / found:.2f}" if compared else "",
        f"{1000 * bound / found:.0%}" if bound and quiet else "",
        f"{statistics.median(peak):.0f}" if peak else "",
    ]


def _text_cells(row: Timing, largest: Timing | None) -> list[str]:
    cells = [row["model"], row["head"], row["backend"], str(row["threads"]), str(row["sequence_length"])]
    cells.append(row_time_text(row, "text_"))
    if not is_quiet(row, "text_"):
        return [*cells, "", "", "", "", ""]
    found = statistics.median(row["text_seconds"])
    for name in ("text_p95_seconds", "text_p99_seconds"):
        cells.append(number_text(1000 * statistics.median(row[name])))
    compared = largest and is_quiet(largest, "text_")
    cells.append(f"{statistics.median(largest['text_seconds']) / found:.1f}" if compared else "")
    cells.append(f"{1000 * found / milliseconds(row):.2f}" if is_quiet(row) else "")
    return [*cells, number_text(1000 * statistics.median(row["text_cpu_seconds"]))]


def single_inputs(timings: Sequence[Timing]) -> list[Timing]:
    """The rows of a quiet machine with batch size 1 and the longest input."""
    rows = [row for row in timings if "error" not in row and row["batch_size"] == 1 and is_quiet(row)]
    longest = max(rows, key=lambda row: row["sequence_length"], default=None)
    return [row for row in rows if _input(row) == _input(longest)]
