"""The demo's sets as everybody reads them: no label missing, no example of the test in training."""

import pytest

from finetuning.sets import REGISTRY, make_task
from finetuning.splits import read_parts


def examples(rows):
    """Rows without what may differ between two of the same example."""
    apart = ("id", "idx", "label", "tags", "answers")
    return {str({key: row[key] for key in row if key not in apart}) for row in rows}


@pytest.mark.parametrize("name", REGISTRY)
def test_a_set_of_the_demo(name):
    task = make_task(name)
    parts, facts = read_parts(task, "demo")
    assert facts["demo"] and facts["dataset"] is None and min(facts["examples"].values()) >= 10
    assert not examples(parts["train"]) & (examples(parts["test"]) | examples(parts["validation"]))
    for part in ("train", "test"):
        found = {label for row in parts[part] for label in row.get("tags", [row.get("label")])}
        assert not task.labels or found == set(task.labels)
