"""Results that are torn, or hold what results do not."""

import json
import random
from collections.abc import Callable
from typing import Any

from tests.campaign.case import Case, Cases, Entry, Make
from tests.campaign.damage import DAMAGES, STAND_INS, Change, copied, damaged, mutated, replaced

FILES = ("student/all_results.json", "student/trainer_state.json", "tuned/all_results.json", "timed.json")
WRONG = (None, "word", -1, 0, [], {}, [1], {"a": 1}, True, 1e300, float("nan"), "\x00")


def results(entry: Entry) -> Cases:
    """Each file of the results damaged, and each of its values exchanged for what it cannot be, or left out."""
    for file in FILES:
        named = {"": "{here}/results/timed.json" if file == "timed.json" else "{here}/results"}
        for name, damage in DAMAGES.items():
            yield Case(entry, f"{file}-{name}", named, _results(damaged(file, damage)))
        for name, stand_in in STAND_INS.items():
            yield Case(entry, f"{file}-{name}", named, _results(replaced(file, stand_in)))
        for key in KEYS[file]:
            for wrong in WRONG:
                make = _changing(file, lambda one, key=key, wrong=wrong: one.update({key: wrong}))
                yield Case(entry, f"{file}-{key}={json.dumps(wrong)}", named, make)
            make = _changing(file, lambda one, key=key: one.pop(key))
            yield Case(entry, f"{file}-no-{key}", named, make)


KEYS = {
    "student/all_results.json": ("student_heldout_loss", "recipe", "parameters", "steps"),
    "student/trainer_state.json": ("log_history",),
    "tuned/all_results.json": ("task", "metric", "test_f1", "model", "parameters", "recipe"),
    "timed.json": ("hardware", "rows", "model", "source", "batch_size", "seconds", "parameters", "backend", "mib"),
}


def drawn(entry: Entry, draw: random.Random) -> Case:
    """A file with bytes cut, flipped, or inserted."""
    file, seed = draw.choice(FILES), draw.random()
    make = _results(damaged(file, lambda content: mutated(content, random.Random(seed))))
    named = {"": "{here}/results/timed.json" if file == "timed.json" else "{here}/results"}
    return Case(entry, f"results-{file.replace('/', '-')}", named, make)


def _changing(file: str, change: Callable[[dict], Any]) -> Make:
    def of_bytes(content: bytes) -> bytes:
        found = json.loads(content)
        inside = found["rows"][0] if "rows" in found else found
        try:
            change(inside)
        except KeyError:  # of what is left out
            change(found)
        return json.dumps(found).encode()

    return _results(damaged(file, of_bytes))


def _results(change: Change) -> Make:
    return copied("results", "results", change)
