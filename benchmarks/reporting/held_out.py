"""Distillation runs by variant: runs that differ in their seed alone are one, and its figures are means over them."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distillation.runs import files
from distillation.runs.files import METRICS, RESULTS, STATE, as_written

OF_ONE_RUN = ("seed", "data_seed", "output_dir")  # keys in which runs of one variant differ
Figures = dict[str, list[float]]  # by `METRICS`, one of each run


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
    """Of the runs among these that trained a student, after its teacher."""
    groups: dict[str, dict[int, Path]] = {}  # by recipe, a run a seed
    for folder, run in runs.items():
        if "student_heldout_loss" in run:
            with as_written(folder / RESULTS):
                recipe = {name: value for name, value in run["recipe"].items() if name not in OF_ONE_RUN}
                seeds = groups.setdefault(json.dumps(recipe, sort_keys=True), {})
                seeds.setdefault(run["recipe"].get("seed"), folder)
    root = os.path.commonpath([folder.parent for seeds in groups.values() for folder in seeds.values()] or ["."])
    found: dict[str, Variant] = {}
    for folders in (list(seeds.values()) for seeds in groups.values()):
        with as_written(folders[0] / RESULTS):
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


def table(found: Sequence[Variant]) -> str:
    """Markdown, a row a variant: means, and over several seeds standard deviations."""
    lines = [
        [one.name, f"{one.parameters:,}", one.steps, len(one.figures["loss"])]
        + [files.metric_text(metric, one.figures[metric]) for metric in METRICS]
        for one in found
    ]
    return files.markdown_table(["model", "parameters", "steps", "seeds", *files.HEADINGS], lines)
