"""The files of a run's folder: complete or not there, readable by others, and without what is nobody's business."""

import os
import stat

import pytest

from distillation.config.arguments import ModelArguments, ObjectiveArguments
from distillation.config.errors import UserError
from distillation.config.recipe import parse_recipe
from distillation.runs import files


def test_a_recipe_holds_what_decides_the_weights_and_what_was_set_and_no_token(tmp_path):
    argv = [f"--output_dir={tmp_path}", "--use_cpu=true", "--student_layers=3", "--learning_rate=0.25"]
    argv += ["--hub_token=secret", "--hub_model_id=me/tiny", "--logging_steps=500"]
    *arguments, training = parse_recipe(ModelArguments, ObjectiveArguments, argv=argv, training=True)
    recipe = files.recipe_of(arguments, training)
    assert recipe["student_layers"] == 3 and recipe["weight_kl"] == 2.0 and recipe["learning_rate"] == 0.25
    assert recipe["adam_beta1"] == 0.9 and recipe["lr_scheduler_type"] == "linear", "a default that may change"
    assert recipe["logging_steps"] == 500 and "eval_delay" not in recipe
    assert "secret" not in str(recipe) and "me/tiny" not in str(recipe)


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path):
    files.write_json(tmp_path / "new" / "results", {"слово": tmp_path})
    assert '"слово"' in (tmp_path / "new" / "results").read_text(encoding="utf-8")
    before = files.read_json(tmp_path / "new" / "results")
    with pytest.raises(UnicodeEncodeError):
        files.write_text(tmp_path / "new" / "results", "half\ud800")
    assert files.read_json(tmp_path / "new" / "results") == before == {"слово": str(tmp_path)}
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "results"], "a draft was left"


def test_a_folder_is_replaced_only_by_a_complete_one(tmp_path):
    """Files of the earlier folder must not be left among the new ones."""
    for name, fails in (("first", False), ("second", False), ("third", True)):
        try:
            with files.replacing(tmp_path / "folder") as draft:
                draft.mkdir()
                (draft / name).write_text(name)
                if fails:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["folder", "folder/second"]
    with pytest.raises(UserError, match="folder is a folder"):  # what somebody keeps there would be gone
        files.write_text(tmp_path / "folder", "card")
    assert (tmp_path / "folder" / "second").exists()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_others_may_read_what_the_umask_lets_them(tmp_path, umask, mode):
    """safetensors writes for the owner alone: a server under another account could not read the model."""
    before = os.umask(umask)
    try:
        with files.replacing(tmp_path / "folder") as draft:
            draft.mkdir()
            os.close(os.open(draft / "model.safetensors", os.O_CREAT, 0o600))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder" / "model.safetensors").stat().st_mode) == mode


def test_what_is_no_json_is_a_sentence(tmp_path):
    (tmp_path / "torn.json").write_text('{"loss": ')
    for name, says in (("torn.json", "cannot be read as JSON"), ("absent.json", "does not exist")):
        with pytest.raises(UserError, match=f"{name} {says}.*: name a result file"):
            files.read_json(tmp_path / name)


def test_absolute_paths_are_cut_to_their_last_name():
    values = {"a": "/home/me/corpus.txt", "b": ["outputs/teacher", {"c": ("/x/y", 1, None)}], "d": "me/tiny"}
    cut = {"a": "corpus.txt", "b": ["outputs/teacher", {"c": ["y", 1, None]}], "d": "me/tiny"}
    assert files.without_folders(values) == cut
