"""A submission has the layout of the official sample: names, types, order, to the byte."""

import json
import zipfile
from pathlib import Path

import pytest

from distillation.config.errors import UserError
from finetuning.russian_superglue.submission import write_task, zip_submission
from finetuning.russian_superglue.tasks import NAMES

# By task: rows out of order, a prediction for each, and the file.
WRITTEN = {
    "terra": (["entailment", "not_entailment"], ['"entailment"', '"not_entailment"']),
    "lidirus": (["not_entailment", "entailment"], ['"not_entailment"', '"entailment"']),
    "rcb": (["neutral", "contradiction"], ['"neutral"', '"contradiction"']),
    "russe": (["true", "false"], ['"true"', '"false"']),
    "danetqa": (["false", "true"], ['"false"', '"true"']),
    "rwsd": (["true", "false"], ['"True"', '"False"']),
    "parus": ([0, 1], ["0", "1"]),
    "rucos": (["Осло", "ЕС,"], [r'"\u041e\u0441\u043b\u043e"', r'"\u0415\u0421,"']),
}


@pytest.mark.parametrize("task", WRITTEN)
def test_a_file_is_as_in_the_sample(tmp_path, task):
    """Sorted by the number, not by its digits; labels spelled as each task of the sample spells them."""
    (first, second), (first_written, second_written) = WRITTEN[task]
    rows = [{"id": str(idx), "idx": idx} for idx in (10, 2)]
    path = write_task(tmp_path, task, rows, [second, first])
    assert path == tmp_path / f"{NAMES[task]}.jsonl"
    lines = f'{{"idx": 2, "label": {first_written}}}\n{{"idx": 10, "label": {second_written}}}\n'
    assert path.read_bytes() == lines.encode()


def test_answers_are_nested_again(tmp_path):
    idx = [[2, 30, 301], [1, 10, 101], [1, 10, 100], [1, 9, 99], [2, 30, 300]]
    path = write_task(tmp_path, "muserc", [{"idx": one} for one in idx], ["1", "0", "1", "1", "0"])
    assert path.read_text() == (
        '{"idx": 1, "passage": {"questions": [{"idx": 9, "answers": [{"idx": 99, "label": 1}]}, '
        '{"idx": 10, "answers": [{"idx": 100, "label": 1}, {"idx": 101, "label": 0}]}]}}\n'
        '{"idx": 2, "passage": {"questions": [{"idx": 30, "answers": [{"idx": 300, "label": 0}, '
        '{"idx": 301, "label": 1}]}]}}\n'
    )


def test_the_choice_of_parus_may_be_a_string(tmp_path):
    """A classifier's labels are strings."""
    path = write_task(tmp_path, "parus", [{"idx": 0}], ["1"])
    assert json.loads(path.read_text()) == {"idx": 0, "label": 1}


def test_every_row_needs_a_prediction(tmp_path):
    with pytest.raises(ValueError, match="1 predictions for 2 rows of terra"):
        write_task(tmp_path, "terra", [{"idx": 0}, {"idx": 1}], ["entailment"])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def files(tmp_path):
    rows = {task: [{"idx": [0, 0, 0] if task == "muserc" else 0}] for task in NAMES}
    said = {task: "1" if task in ("muserc", "parus") else "true" for task in NAMES}
    return {task: write_task(tmp_path / "files", task, rows[task], [said[task]]) for task in NAMES}


def test_the_zip_is_as_the_sample(tmp_path, files):
    path = zip_submission(tmp_path / "new" / "submission.zip", files)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert set(names) == {"submission/", *(f"submission/{name}.jsonl" for name in NAMES.values())}
        assert len(names) == 10
        modes = {one.external_attr >> 16 & 0o777 for one in archive.infolist()}
        assert modes == {0o755, 0o644}  # else `unzip` makes files that nobody may read
        for task, name in NAMES.items():
            assert archive.read(f"submission/{name}.jsonl") == files[task].read_bytes()
    assert [one.name for one in path.parent.iterdir()] == ["submission.zip"]


def test_equal_files_give_an_equal_zip(tmp_path, files):
    first, second = (zip_submission(tmp_path / name, files).read_bytes() for name in ("a.zip", "b.zip"))
    assert first == second


@pytest.mark.parametrize("gone", [True, False])
def test_a_zip_needs_all_nine_files(tmp_path, files, gone):
    """The leaderboard would refuse it after the upload."""
    if gone:
        files["rucos"].unlink()
    else:
        del files["rucos"]
    with pytest.raises(UserError, match="needs all nine tasks; write the files of RuCoS first"):
        zip_submission(tmp_path / "submission.zip", files)
    assert not (tmp_path / "submission.zip").exists()


def test_an_interrupted_zip_leaves_the_old_one(tmp_path, files, monkeypatch):
    path = zip_submission(tmp_path / "out" / "submission.zip", files)
    before, read = path.read_bytes(), Path.read_bytes

    def interrupted(self):
        if self.name == "RWSD.jsonl":
            raise KeyboardInterrupt
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        zip_submission(path, files)
    monkeypatch.undo()
    assert path.read_bytes() == before and [one.name for one in path.parent.iterdir()] == ["submission.zip"]
