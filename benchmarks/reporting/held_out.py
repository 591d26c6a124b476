"""Distilled students beside their teachers: how well each fills in hidden words of held-out text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting.inventory import Inventory, short_names
from distillation.runs.files import HEADINGS, METRICS, markdown_table, metric_text
from distillation.runs.result_files import matches


@dataclass(frozen=True)
class Row:
    """A model and its figures, one for each of `METRICS`; what is not known is None."""

    name: str
    role: str
    source: str
    parameters: int | None
    steps: int | None
    figures: tuple[float, ...]

    def cells(self) -> list[str]:
        """The figures as text."""
        return [metric_text(name, [value]) for name, value in zip(METRICS, self.figures, strict=True)]


def rows(inventory: Inventory) -> list[Row]:
    """Each teacher, followed by its students; twice where it was measured on two held-out texts."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    names = short_names(list(inventory.distilled))
    for folder, run in inventory.distilled.items():
        teacher = _teacher(run, inventory)
        key = (teacher.source, *teacher.cells()) if teacher else ()
        group = groups.setdefault(key, [teacher] if teacher else [])
        figures = tuple(run[f"student_heldout_{metric}"] for metric in METRICS)
        group.append(Row(names[folder], "student", str(folder), run["parameters"], run["steps"], figures))
    return [row for group in groups.values() for row in group]


def table(found: Sequence[Row]) -> str:
    """Markdown, a row a model."""
    lines = []
    for row in found:
        name = f"{row.name} (teacher)" if row.role == "teacher" else row.name
        counts = ["" if count is None else f"{count:,}" for count in (row.parameters, row.steps)]
        lines.append([name, *counts, *row.cells()])
    return markdown_table(["model", "parameters", "steps", *HEADINGS], lines)


def _teacher(run: dict[str, Any], inventory: Inventory) -> Row | None:
    """The teacher by the figures that its student's run has; its size from its own run, or from its timings."""
    source = run["recipe"].get("teacher_name_or_path")
    if source is None or "teacher_heldout_loss" not in run:
        return None
    pretrained = {str(folder): found for folder, found in inventory.runs.items() if "task" not in found}
    timed = {row["source"]: {"parameters": row.get("parameters")} for row in inventory.timings}
    known = timed | pretrained
    same = matches(source, known)
    found = known[same[0]] if len(same) == 1 else {}
    figures = tuple(run[f"teacher_heldout_{metric}"] for metric in METRICS)
    return Row(Path(source).name, "teacher", source, found.get("parameters"), found.get("steps"), figures)
