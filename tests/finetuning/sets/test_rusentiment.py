"""RuSentiment: posts of the parts that are asked for, and predictions in the layout of its files."""

import pytest

from finetuning.sets.rusentiment import PARTS, TEST, read, write

FILES = {
    PARTS["random"]: 'label,text\nneutral,"Раз,\nдва ""три""\n"\nspeech,С праздником!\n',
    PARTS["preselected"]: "label,text\nskip,Что?\n",
    TEST: "label,text\npositive, ура \n",
}


def folder(path, *left_out):
    for name, content in FILES.items():
        if name not in left_out:
            (path / name).write_bytes(content.encode())
    return str(path)


def test_rows_are_the_records_of_the_files(tmp_path):
    """One text in six holds line breaks, which a split by lines would make rows of."""
    assert read(folder(tmp_path)) == {
        "train": [
            {"id": "random-0", "text": 'Раз,\nдва "три"', "label": "neutral"},
            {"id": "random-1", "text": "С праздником!", "label": "speech"},
        ],
        "test": [{"id": "test-0", "text": "ура", "label": "positive"}],
    }


@pytest.mark.parametrize(
    ("parts", "ids"),
    [
        (("preselected",), ["preselected-0"]),
        (["random", "preselected"], ["random-0", "random-1", "preselected-0"]),
    ],
)
def test_training_rows_come_from_the_parts(tmp_path, parts, ids):
    """A part that is not asked for need not be there."""
    rows = read(folder(tmp_path, *(PARTS[part] for part in PARTS if part not in parts)), parts)
    assert [row["id"] for row in rows["train"]] == ids
    assert [row["id"] for row in rows["test"]] == ["test-0"]


def test_predictions_are_a_file_of_the_benchmark(tmp_path):
    """They go through whatever reads the files, and a prediction that is missing must not shift the others."""
    rows = read(folder(tmp_path))["train"]
    path = write(tmp_path / "new" / "folder", rows, ["skip", "negative"])
    expected = '"label","text"\n"skip","Раз,\nдва ""три"""\n"negative","С праздником!"\n'
    assert path.name == "test_predictions.csv" and path.read_bytes().decode() == expected
    with pytest.raises(ValueError):
        write(tmp_path, rows, ["skip"])
