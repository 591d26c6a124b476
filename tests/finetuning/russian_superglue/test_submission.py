"""A submission has the layout of the official sample: names, types, order, to the byte."""

import zipfile

import pytest

from distillation.config.errors import UserError
from finetuning.russian_superglue.submission import write_task, zip_submission
from finetuning.russian_superglue.tasks import NAMES

# By task: two predictions, and how the file has them.
WRITTEN = {
    "terra": (["entailment", "not_entailment"], ['"entailment"', '"not_entailment"']),
    "danetqa": (["false", "true"], ['"false"', '"true"']),
    "rwsd": (["true", "false"], ['"True"', '"False"']),
    "parus": ([0, "1"], ["0", "1"]),
    "rucos": (["Осло", "ЕС,"], [r'"\u041e\u0441\u043b\u043e"', r'"\u0415\u0421,"']),
}


@pytest.mark.parametrize("task", WRITTEN)
def test_a_file_is_as_in_the_sample(tmp_path, task):
    """Sorted by the number, not by its digits; labels spelled as each task of the sample spells them."""
    (first, second), (first_written, second_written) = WRITTEN[task]
    rows = [{"id": str(idx), "idx": idx} for idx in (10, 2)]
    path = write_task(task, tmp_path, rows, [second, first])
    assert path == tmp_path / f"{NAMES[task]}.jsonl"
    lines = f'{{"idx": 2, "label": {first_written}}}\n{{"idx": 10, "label": {second_written}}}\n'
    assert path.read_bytes() == lines.encode()
    with pytest.raises(ValueError):
        write_task(task, tmp_path, rows, [first])


def test_answers_are_nested_again(tmp_path):
    idx = [[2, 30, 301], [1, 10, 101], [1, 10, 100], [1, 9, 99], [2, 30, 300]]
    path = write_task("muserc", tmp_path, [{"idx": one} for one in idx], ["1", "0", "1", "1", "0"])
    assert path.read_text() == (
        '{"idx": 1, "passage": {"questions": [{"idx": 9, "answers": [{"idx": 99, "label": 1}]}, '
        '{"idx": 10, "answers": [{"idx": 100, "label": 1}, {"idx": 101, "label": 0}]}]}}\n'
        '{"idx": 2, "passage": {"questions": [{"idx": 30, "answers": [{"idx": 300, "label": 0}, '
        '{"idx": 301, "label": 1}]}]}}\n'
    )


@pytest.fixture
def files(tmp_path):
    rows = {task: [{"idx": [0, 0, 0] if task == "muserc" else 0}] for task in NAMES}
    said = {task: "1" if task in ("muserc", "parus") else "true" for task in NAMES}
    return {task: write_task(task, tmp_path / "files", rows[task], [said[task]]) for task in NAMES}


def test_the_zip_is_as_the_sample(tmp_path, files):
    path = zip_submission(tmp_path / "new" / "submission.zip", files)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(
            ["submission/", *(f"submission/{n}.jsonl" for n in NAMES.values())]
        )
        modes = {one.external_attr >> 16 & 0o777 for one in archive.infolist()}
        assert modes == {0o755, 0o644}  # else `unzip` makes files that nobody may read
        for task, name in NAMES.items():
            assert archive.read(f"submission/{name}.jsonl") == files[task].read_bytes()
    assert zip_submission(tmp_path / "again.zip", files).read_bytes() == path.read_bytes()


def test_a_zip_needs_all_nine_files(tmp_path, files):
    """The leaderboard would refuse it after the upload."""
    files["rucos"].unlink()
    with pytest.raises(UserError, match="needs all nine tasks; write the files of RuCoS first"):
        zip_submission(tmp_path / "submission.zip", files)
    assert not (tmp_path / "submission.zip").exists()
