"""The files of a run's folder: complete or not there, readable by others, without keys and paths of this machine."""

import os
import stat
from contextlib import nullcontext
from pathlib import Path

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
    values = {"a": "/home/me/corpus.txt", "b": ["outputs/teacher", {"c": ("/x/y", 1, None)}], "d": "me/tiny"}
    values = files.without_folders(values)
    assert values == {"a": "corpus.txt", "b": ["outputs/teacher", {"c": ["y", 1, None]}], "d": "me/tiny"}


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path):
    path = tmp_path / "new" / "results"
    files.write_json(path, {"слово": tmp_path})
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "half\ud800")
    assert '"слово"' in path.read_text(encoding="utf-8") and files.read_json(path) == {"слово": str(tmp_path)}
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "results"], "a draft was left"
    with pytest.raises(UserError, match="absent.json does not exist: name a result file"):
        files.read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("below", ["model", "deep/model"])
def test_nothing_is_written_below_a_file(tmp_path, below):
    (tmp_path / "notes").write_text("kept")
    with pytest.raises(UserError, match="below a file"), files.replacing(tmp_path / "notes" / below):
        pass
    assert (tmp_path / "notes").read_text() == "kept"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_folder_is_replaced_only_by_a_complete_one_that_others_may_read(tmp_path, umask, mode):
    """A file that is obsolete must not be left among the new ones. safetensors writes for the owner alone."""
    before = os.umask(umask)
    try:
        for name, end in (("first", nullcontext()), ("second", nullcontext()), ("third", pytest.raises(ValueError))):
            with end, files.replacing(tmp_path / "folder", obsolete=["first"]) as draft:
                draft.mkdir()
                os.close(os.open(draft / name, os.O_CREAT, 0o600))
                if name == "third":
                    raise ValueError("cut short")
    finally:
        os.umask(before)
    with pytest.raises(UserError, match="folder is a folder"):  # its files would be gone
        files.write_text(tmp_path / "folder", "card")
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "folder", tmp_path / "folder" / "second"]
    assert stat.S_IMODE((tmp_path / "folder" / "second").stat().st_mode) == mode


@pytest.mark.parametrize("path", ["../link", ".", "../folder"])
def test_a_folder_that_nothing_can_rename_gets_new_files_the_model_last(tmp_path, monkeypatch, path):
    """As a mounted one: the deployed model was gone, then the new one, too. What is nobody's of ours stays."""
    folder, moved, replace = tmp_path / "folder", [], Path.replace
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for name in ("model.onnx", "model.old", "notes.txt"):
        (folder / name).write_text("old")

    def replace_file(source, target):
        assert source.is_file()
        moved.append(target.name)
        return replace(source, target)

    monkeypatch.chdir(folder)
    monkeypatch.setattr(Path, "replace", replace_file)
    with files.replacing(path, last="model", obsolete=["model.old", "model.onnx"]) as draft:
        draft.mkdir()
        for name in ("model.onnx", "tokenizer.json"):
            (draft / name).write_text("new")
        assert (folder / "model.onnx").read_text() == "old"
    assert moved == ["tokenizer.json", "model.onnx"]
    found = {file.name: file.read_text() for file in folder.iterdir()}
    assert found == {"model.onnx": "new", "tokenizer.json": "new", "notes.txt": "old"}
    assert not files.is_free(folder) and not files.is_free(folder / "notes.txt")
    for file in folder.iterdir():
        file.unlink()
    (folder / "lost+found").mkdir()
    (folder / ".keep").touch()
    assert files.is_free(folder) and files.is_free(folder / "new")
