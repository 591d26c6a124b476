"""What a path leads to is known before anything heavy is imported."""

import pytest

from distillation.config.errors import UserError
from distillation.config.paths import check, check_output, is_path


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match="`output_dir` 'outputs/new' cannot be written"):
        check_output("outputs/new")


def test_a_path_is_told_from_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    assert all(map(is_path, ("/a", "./a", "../a", "~/a", "a/b/c", "outputs/a")))
    assert not any(map(is_path, ("owner/name", "name")))


@pytest.fixture
def runs(tmp_path):
    """A checkpoint, an exported folder, those of two seeds, and one without anything."""
    for name in ("checkpoint/config.json", "exported/config.json", "exported/export.json", "empty/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    for seed in ("0", "1"):
        (tmp_path / "seeds" / seed).mkdir(parents=True)
        (tmp_path / "seeds" / seed / "config.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exported", "it is an exported folder: name the checkpoint that it was made from"),
        ("seeds", "it has no config.json: name {runs}/seeds/0 or {runs}/seeds/1"),
        ("empty", "it has no config.json: name a folder that has one"),
        ("checkpoint/config.json", "it is a file: name its folder, {runs}/checkpoint"),
    ],
)
def test_a_folder_without_a_checkpoint_says_which_to_name(runs, name, message):
    with pytest.raises(UserError) as caught:
        check("model", str(runs / name), "model")
    assert str(caught.value) == f"`model` '{runs / name}' cannot be loaded: {message.format(runs=runs)}"
    check("model", str(runs / name), "source")  # of other keys it may be what they need


def test_a_checkpoint_is_taken(runs):
    for name in (str(runs / "checkpoint"), "demo", "owner/name"):
        check("model", name, "model")
