"""All cases: those by hand, and as many drawn by a seed as are wanted besides."""

import random
from collections.abc import Callable, Iterator

from distillation.demo.grammar import generate
from tests.campaign import benchmark_files, checkpoints, corpora, finished, keys, result_files
from tests.campaign.case import Case, Entry
from tests.campaign.entries import ENTRIES
from tests.campaign.inputs import LINES

RESULTS, PUBLISH = ("benchmarks.report", "benchmarks.scores"), "distillation.run_publish"
ALL_KEYS = ("distillation.run", "finetuning.run_rusentiment")  # of which every training argument is tried
DRAWN = 4  # one in so many of a sample is drawn


def collect(count: int, seed: int, only: str | None) -> list[Case]:
    """As many cases, all of them with another title. only: a part of the titles that are wanted, however many."""
    found = list(by_hand())
    if only:
        wanted = [case for case in found if only in case.title]
        return wanted or [case for case in draw_all(seed, 10_000) if case.title == only]
    if count >= len(found):
        return [*found, *draw_all(seed, count - len(found))]
    draw = random.Random(seed)
    draw.shuffle(found)
    first = {case.entry.name: case for case in reversed(found)}  # each entry once
    rest = [case for case in found if first[case.entry.name] is not case and draw.random() < case.entry.share]
    sample = [*first.values(), *rest][: count - count // DRAWN]
    return [*sample, *draw_all(seed, count - len(sample))]


def by_hand() -> Iterator[Case]:
    """Those that need no luck."""
    entries = {entry.name: entry for entry in ENTRIES}
    lines = _lines()
    yield from keys.keys_by_hand(entries)
    for entry in ENTRIES:
        yield from keys.wrong_values(entry, training=entry.name in ALL_KEYS)
        yield from corpora.corpora(entry, lines)
        yield from checkpoints.checkpoints(entry)
        if entry.data:
            yield from benchmark_files.benchmark_data(entry)
        if entry.name in RESULTS:
            yield from result_files.results(entry)
        if entry.name == PUBLISH:
            yield from finished.finished(entry)
    yield from benchmark_files.brat(entries["finetuning.run_collection3"])


def draw_all(seed: int, count: int) -> Iterator[Case]:
    """Cases of all entry points; each depends on the seed and its number alone."""
    lines, shares = _lines(), [entry.share for entry in ENTRIES]
    for number in range(count):
        draw = random.Random(f"{seed}-{number}")
        (entry,) = draw.choices(ENTRIES, shares)
        case = draw.choice(_kinds(entry, lines))(draw)
        yield Case(entry, f"drawn-{seed}-{number}-{case.name}", case.changes, case.make)


def _kinds(entry: Entry, lines: tuple[str, ...]) -> list[Callable[[random.Random], Case]]:
    kinds: list[Callable[[random.Random], Case]] = [lambda draw: keys.drawn(entry, draw)]
    if entry.corpora:
        kinds.append(lambda draw: corpora.drawn(entry, lines, draw))
    if entry.models or entry.tokenizers:
        kinds.append(lambda draw: checkpoints.drawn(entry, draw))
    if entry.data:
        kinds.append(lambda draw: benchmark_files.drawn(entry, draw))
    if entry.name in RESULTS:
        kinds.append(lambda draw: result_files.drawn(entry, draw))
    if entry.name == PUBLISH:
        kinds.append(lambda draw: finished.drawn(entry, draw))
    return kinds


def _lines() -> tuple[str, ...]:
    return tuple(generate(LINES, seed=3))
