"""A submission has the layout of the official sample: names, types, order."""

import json
import zipfile

import pytest

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
    nested = {1: {9: {99: 1}, 10: {100: 1, 101: 0}}, 2: {30: {300: 0, 301: 1}}}
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {
            "idx": passage,
            "passage": {
                "questions": [
                    {"idx": question, "answers": [{"idx": one, "label": label} for one, label in answers.items()]}
                    for question, answers in questions.items()
                ]
            },
        }
        for passage, questions in nested.items()
    ]


def test_the_zip_is_as_the_sample(tmp_path):
    files = [write_task("muserc", tmp_path / "files", [{"idx": [0, 0, 0]}], ["1"])]
    files.append(write_task("rwsd", tmp_path / "files", [{"idx": 0}], ["true"]))
    zip_submission(tmp_path / "new" / "submission.zip", files)
    with zipfile.ZipFile(tmp_path / "new" / "submission.zip") as archive:
        assert archive.namelist() == ["submission/", "submission/MuSeRC.jsonl", "submission/RWSD.jsonl"]
        modes = {one.external_attr >> 16 & 0o444 for one in archive.infolist()}
        assert modes == {0o444}  # else `unzip` makes files that nobody may read
        for file in files:
            assert archive.read(f"submission/{file.name}") == file.read_bytes()
