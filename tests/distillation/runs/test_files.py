"""What a run writes for programs: whole, with its recipe, and without what is nobody's business."""

import pytest
from transformers import TrainingArguments

from distillation.config.arguments import ModelArguments, ObjectiveArguments
from distillation.runs import files as results


def test_a_recipe_holds_what_decides_the_weights_and_no_token(tmp_path):
    training = TrainingArguments(
        str(tmp_path), learning_rate=0.25, hub_token="secret", hub_model_id="me/tiny", use_cpu=True, logging_steps=7
    )
    recipe = results.recipe_of([ModelArguments(student_layers=3), ObjectiveArguments()], training)
    assert recipe["student_layers"] == 3 and recipe["weight_kl"] == 2.0 and recipe["learning_rate"] == 0.25
    assert recipe["adam_beta1"] == 0.9 and recipe["lr_scheduler_type"] == "linear", "a default that may change"
    assert recipe["logging_steps"] == 7 and "eval_delay" not in recipe
    assert "secret" not in str(recipe) and "me/tiny" not in str(recipe)


def test_files_are_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "results").write_text("before")
    with pytest.raises(UnicodeEncodeError):
        results.write(tmp_path / "results", "\ud800")
    assert (tmp_path / "results").read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_json_that_people_can_read(tmp_path):
    results.write_json(tmp_path / "results", {"слово": tmp_path})
    assert '"слово"' in (tmp_path / "results").read_text(encoding="utf-8")


def test_absolute_paths_are_cut_to_their_last_name():
    values = {"a": "/home/me/corpus.txt", "b": ["outputs/teacher", {"c": ("/x/y", 1, None)}], "d": "me/tiny"}
    cut = {"a": "corpus.txt", "b": ["outputs/teacher", {"c": ["y", 1, None]}], "d": "me/tiny"}
    assert results.without_folders(values) == cut
