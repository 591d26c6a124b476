"""The parts of a benchmark: train, validation, test, and perhaps one without labels to submit.

The test part is reported and chooses nothing: its texts leave the training part. A benchmark without a validation part
gets a tenth of its training part, and so does one's own data without a test part.
"""

import functools
import logging
import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from distillation.config.errors import UserError
from distillation.config.paths import DEMO
from distillation.runs.files import digest
from finetuning.formats.locate import Source, is_demo
from finetuning.tasks.base import Row, Task

logger = logging.getLogger(__name__)

SHARE = 0.1  # of the rows of train, for a part that is not there
COMMON = 0.05  # of the rows: a text that more of them have, as an aspect beside reviews, tells nothing of an example
SAMPLE_SEED = 0  # the same rows for all runs, so that their scores compare

Texts = Callable[[Row], tuple[str, ...]]


@functools.lru_cache(maxsize=1)  # several models are trained on the same
def read_parts(task: Task, source: Source) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """The rows of `train`, `validation`, `test`, and perhaps `submission`, and facts about them for the results.
    Raises UserError for a part that is missing or empty."""
    parts, texts = task.read(source), functools.partial(composed_texts, task)
    named = f"`data_dir` {source!r}" if isinstance(source, str) else f"`train_file` {source.train!r}"
    files = {} if isinstance(source, str) else {part: file for part, file in source._asdict().items() if file}
    places = {part: f"`{part}_file` {file!r}" for part, file in files.items()}
    for name in ("train", "validation", "test"):
        if not parts.get(name, name == "validation" or (name == "test" and task.set)):
            raise UserError(f"{places.get(name, named)}: there are no examples for {name}")
    left_out: dict[str, int] = {}
    if task.texts_are_examples:
        answers = [str(task.references([row])) for row in parts["train"]]  # hashable, also of tags
        parts["train"], left_out = without_repeats(parts["train"], answers, parts.get("test", ()), texts)
    if set_aside := "test" not in parts:
        parts["train"], parts["test"] = split_off(parts["train"], texts)
    if "validation" not in parts:
        parts["train"], parts["validation"] = split_off(parts["train"], texts)
    elif task.set and task.texts_are_examples:
        left_out |= without_leaks(parts, texts)
    if task.set and not task.texts_are_examples:
        known = {text for row in parts["train"] for text in texts(row)}
        if shared := sum(known.issuperset(texts(row)) for row in parts["test"]):
            logger.warning("%s: %d texts of the test part are in train, too", task.name, shared)
    sizes = {name: len(part) for name, part in parts.items()}
    shown = [", ".join(f"{count:,} {name}" for name, count in of.items() if count) for of in (sizes, left_out)]
    why = shown[1].replace("_", " ") or "none"
    if empty := [name for name in ("train", "validation", "test") if not parts[name]]:
        place = places.get(empty[0], named)
        remedy = "give more texts that differ" + ", or a `validation_file` and a `test_file`" * bool(files)
        raise UserError(f"{place}: no example is left for {empty[0]} (left out: {why}): {remedy}")
    logger.info("%s: %s; repeated or in two parts: %s", task.name, shown[0], why)
    facts = {"task": task.name, "metric": task.primary_metric, "per_cent": task.per_cent, "split": task.split}
    facts |= {"examples": sizes, "left_out": left_out, "demo": is_demo(source)}
    facts |= {"set": task.set, "set_aside": set_aside} if task.set else {}
    on_hub = isinstance(source, str) and source != DEMO and not Path(source).exists()
    return parts, facts | {"dataset": source if on_hub else None}


def composed_texts(task: Task, row: Row) -> tuple[str, ...]:
    """The texts of a row with composed letters and single spaces: й is one text, of one sign or of two."""
    return tuple(" ".join(unicodedata.normalize("NFC", text).split()) for text in task.texts(row))


def without_repeats(
    rows: Sequence[Row], answers: Sequence[Hashable], tested: Sequence[Row], texts: Texts
) -> tuple[list[Row], dict[str, int]]:
    """The rows to train on, and how many were left out: texts `in_test`, `repeated`, or `conflicting`.
    Of rows with the same texts and one answer the first stays; of rows with different answers none."""
    in_test, known = set(map(texts, tested)), defaultdict(set)
    for row, answer in zip(rows, answers, strict=True):
        known[texts(row)].add(answer)
    left_out: dict[str, int] = {"in_test": 0, "repeated": 0, "conflicting": 0}
    chosen: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = texts(row)
        if key in in_test:
            left_out["in_test"] += 1
        elif len(known[key]) > 1:
            left_out["conflicting"] += 1
        elif key in chosen:
            left_out["repeated"] += 1
        else:
            chosen[key] = row
    return list(chosen.values()), left_out


def without_leaks(parts: dict[str, list[Row]], texts: Texts) -> dict[str, int]:
    """Remove the texts of test from validation, and those of validation from train; returns how many."""
    left_out = {}
    for name, other in (("validation", "test"), ("train", "validation")):
        known = set(map(texts, parts[other]))
        kept = [row for row in parts[name] if texts(row) not in known]
        left_out[f"{name}_in_{other}"], parts[name] = len(parts[name]) - len(kept), kept
    return left_out


def split_off(rows: Sequence[Row], texts: Texts) -> tuple[list[Row], list[Row]]:
    """The rows without a tenth (or a little more), and that tenth, both in the order of the rows.
    Hashes of the texts choose it: as a file grows, hardly a text moves from the one to the other.
    Rows that share a text, directly or through others, form a group and stay on one side. A group of more than half of
    the rows is set aside last, as the others would be too few to train on. Of two texts one that is `COMMON` links
    nothing."""
    groups = group_names(linking([texts(row) for row in rows]))
    sizes = Counter(groups)
    names = sorted(sizes, key=lambda name: digest([name.encode("utf-8", "surrogatepass")]))
    names.sort(key=lambda name: 2 * sizes[name] <= len(rows))
    chosen, size = set(), 0
    while size < SHARE * len(rows):
        chosen.add(names[-1])
        size += sizes[names.pop()]
    parts: tuple[list[Row], list[Row]] = ([], [])
    for row, group in zip(rows, groups, strict=True):
        parts[group in chosen].append(row)
    return parts


def linking(sets: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Of each row's texts those that keep it on one side with others: the ones that are not `COMMON`, if there are."""
    counts = Counter(text for texts in sets for text in {*texts})
    common = {text for text, count in counts.items() if count > max(COMMON * len(sets), 10)}
    return [tuple(text for text in texts if text not in common) or texts for texts in sets]


def sample(rows: Sequence[Row], count: int) -> list[Row]:
    """So many of the rows, always the same, in their order; all if there are no more."""
    places = random.Random(SAMPLE_SEED).sample(range(len(rows)), min(count, len(rows)))
    return [rows[place] for place in sorted(places)]


def group_names(sets: Sequence[tuple[str, ...]]) -> list[str]:
    """For each set of texts the name of its group: the smallest text of all sets that are linked with it."""
    known = sorted({text for texts in sets for text in texts})
    places = {text: place for place, text in enumerate(known)}
    links = np.array([(places[texts[0]], places[text]) for texts in sets for text in texts]).reshape(-1, 2).T
    _, groups = connected_components(coo_array((np.ones(links.shape[1]), links), shape=(len(known), len(known))))
    names = dict(zip(reversed(groups.tolist()), reversed(known), strict=True))
    return [names[groups[places[texts[0]]]] for texts in sets]
