"""Every benchmark by its name, and its demo set: no label missing, no example of the test in training."""

import pytest

from distillation.config.errors import UserError
from finetuning.formats.locate import OwnFiles
from finetuning.sets import REGISTRY, make_task, named_after_source
from finetuning.splits import read_parts


def examples(rows):
    own = ("id", "idx", "label", "tags", "answers")
    return {str({key: row[key] for key in row if key not in own}) for row in rows}


@pytest.mark.parametrize("name", REGISTRY)
def test_a_set_of_the_demo(name):
    """A label that is missing could not be learned, and an example on both sides would be learned by heart."""
    task = make_task(name)  # a result file knows it by its name alone
    assert task.name == name and task.primary_metric in task.metric.names and task.per_cent == (name == "sberquad")
    parts, facts = read_parts(task, "demo")
    assert facts["demo"] and facts["dataset"] is None and min(facts["examples"].values()) >= 10
    assert not examples(parts["train"]) & (examples(parts["test"]) | examples(parts["validation"]))
    for part in ("train", "test"):
        found = {label for row in parts[part] for label in row.get("tags", [row.get("label")])}
        assert not task.labels or found == set(task.labels)


def test_ones_own_data_give_a_task_their_name(tmp_path, monkeypatch):
    (tmp_path / "goods").mkdir()
    monkeypatch.chdir(tmp_path / "goods")
    named = {OwnFiles("train.csv"): "goods", OwnFiles("reviews.csv.gz"): "reviews", ".": "goods"}
    assert {source: named_after_source(make_task("rusentiment"), "tagging", source).name for source in named} == named


def test_keys_of_a_finished_run_make_its_task():
    recipe = {"classes": 3, "entity_types": 5, "learning_rate": 1e-3, "train_parts": ["preselected", "random"]}
    assert len(make_task("paraphraser", recipe).labels) == 3 and len(make_task("paraphraser").labels) == 2
    assert len(make_task("collection3", recipe).labels) == 11
    assert make_task("rusentiment", recipe).read.keywords == {"parts": ("preselected", "random")}
    assert make_task("terra", {"task": "all", "submission": "x.zip"}).name == "terra"
    with pytest.raises(UserError, match="no task 'glue': choose one of collection3"):
        make_task("glue")
