"""A submission has the layout of the official sample: names, types, order."""

import zipfile

import pytest

from finetuning.russian_superglue.submission import write_task, zip_submission
from finetuning.russian_superglue.tasks import NAMES


@pytest.mark.parametrize(
    ("task", "first", "second", "written"),  # two predictions, and how the file has them
    [
        ("terra", "entailment", "not_entailment", '"entailment" "not_entailment"'),
        ("danetqa", "false", "true", '"false" "true"'),
        ("rwsd", "true", "false", '"True" "False"'),
        ("parus", 0, "1", "0 1"),
        ("rucos", "Осло", "ЕС,", r'"\u041e\u0441\u043b\u043e" "\u0415\u0421,"'),
    ],
)
def test_a_file_is_as_in_the_sample(tmp_path, task, first, second, written):
    """Sorted by the number, not by its digits; labels spelled as each task of the sample spells them."""
    rows = [{"id": str(idx), "idx": idx} for idx in (10, 2)]
    path = write_task(task, tmp_path, rows, [second, first])
    lines = [f'{{"idx": {idx}, "label": {label}}}\n' for idx, label in zip((2, 10), written.split(), strict=True)]
    assert path == tmp_path / f"{NAMES[task]}.jsonl" and path.read_bytes() == "".join(lines).encode()


def test_answers_are_nested_again(tmp_path):
    idx = [[2, 30, 301], [1, 10, 101], [1, 10, 100], [1, 9, 99], [2, 30, 300]]
    path = write_task("muserc", tmp_path, [{"idx": one} for one in idx], ["1", "0", "1", "1", "0"])
    assert path.read_text() == (
        '{"idx": 1, "passage": {"questions": [{"idx": 9, "answers": [{"idx": 99, "label": 1}]}, '
        '{"idx": 10, "answers": [{"idx": 100, "label": 1}, {"idx": 101, "label": 0}]}]}}\n'
        '{"idx": 2, "passage": {"questions": [{"idx": 30, "answers": [{"idx": 300, "label": 0}, '
        '{"idx": 301, "label": 1}]}]}}\n'
    )


def test_the_zip_is_as_the_sample(tmp_path):
    path = tmp_path / "new" / "submission.zip"
    files = [write_task(task, tmp_path, [{"idx": 0}], ["true"]) for task in ("terra", "rwsd")]
    zip_submission(path, files)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["submission/", "submission/TERRa.jsonl", "submission/RWSD.jsonl"]
        assert {one.external_attr >> 16 & 0o444 for one in archive.infolist()} == {0o444}  # else nobody may read them
        assert [archive.read(f"submission/{file.name}") for file in files] == [file.read_bytes() for file in files]
