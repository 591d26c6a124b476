"""The cases of a run: what people get wrong, then a sample of all others, one in four of it drawn anew by the seed."""

import random

from tests.fuzz import checkpoints, corpora, files, keys
from tests.fuzz.case import Case, Cases
from tests.fuzz.entries import ENTRIES
from tests.fuzz.inputs import corpus_lines


def collect(count: int, seed: int, only: str | None) -> list[Case]:
    """As many cases. only: a part of the titles that are wanted, however many."""
    found = list(by_hand())
    if only:
        return [case for case in found if only in case.title] or [c for c in drawn(seed, 10_000) if c.title == only]
    people, others = found[: len(keys.people())], found[len(keys.people()) :]
    random.Random(seed).shuffle(others)
    room = max(count - len(people), 0)
    return [*people, *others[: room - room // 4], *drawn(seed, room // 4)][:count]


def by_hand() -> Cases:
    """Those that need no luck, beginning with what people get wrong."""
    entries = {entry.name: entry for entry in ENTRIES}
    lines = corpus_lines()
    yield from keys.by_hand(entries)
    yield from files.brat(entries["finetuning.run_collection3"])
    for entry in ENTRIES:
        yield from keys.wrong_values(entry)
        yield from corpora.corpora(entry, lines)
        yield from checkpoints.checkpoints(entry)
        yield from files.damaged_files(entry)


def drawn(seed: int, count: int) -> Cases:
    """Cases of all scripts; each depends on the seed and its number alone."""
    lines = corpus_lines()
    for number in range(count):
        draw = random.Random(f"{seed}-{number}")
        entry = draw.choice(ENTRIES)
        kinds = [keys.drawn]
        kinds += [lambda entry, draw: corpora.drawn(entry, lines, draw)] * bool(entry.corpora)
        kinds += [checkpoints.drawn] * bool(entry.models) + [files.drawn] * bool(entry.folders)
        case = draw.choice(kinds)(entry, draw)
        yield Case(entry, f"drawn-{seed}-{number}-{case.name}", case.changes, case.make)
