"""The registry: every benchmark by its name."""

import pytest

from distillation.config.errors import UserError
from finetuning.sets import REGISTRY, make_task


@pytest.mark.parametrize("name", REGISTRY)
def test_a_name_gives_the_task_that_is_called_so(name):
    """A result file knows its task by this name alone: export and tables would score another benchmark. Only figures
    of questions are per cent already: multiplied by 100 again they would be thousands."""
    task = make_task(name)
    assert task.name == name and task.primary_metric in task.metric.names and task.per_cent == (name == "sberquad")


def test_keys_of_a_finished_run_make_its_task():
    """Whatever else its recipe says."""
    recipe = {"classes": 3, "entity_types": 5, "learning_rate": 1e-3, "train_parts": ["preselected", "random"]}
    assert len(make_task("paraphraser", recipe).labels) == 3 and len(make_task("paraphraser").labels) == 2
    assert len(make_task("collection3", recipe).labels) == 11
    assert make_task("rusentiment", recipe).read.keywords == {"parts": ("preselected", "random")}
    assert make_task("terra", {"task": "all", "submission": "x.zip"}).name == "terra"
    with pytest.raises(UserError, match="no task 'glue': choose one of rusentiment"):
        make_task("glue")
