"""RuSentiment: posts of the parts that are asked for, and predictions in the layout of its files."""

import pytest

from finetuning.sets.rusentiment import PARTS, TEST, read, write

FILES = {
    PARTS["random"]: 'label,text\nneutral,"Раз,\nдва ""три""\n"\nspeech,С праздником!\n',
    PARTS["preselected"]: "label,text\nskip,Что?\n",
    TEST: "label,text\npositive, ура \n",
}
RANDOM = [
    {"id": "random-0", "text": 'Раз,\nдва "три"', "label": "neutral"},
    {"id": "random-1", "text": "С праздником!", "label": "speech"},
]


TRAIN = {"random": RANDOM, "preselected": [{"id": "preselected-0", "text": "Что?", "label": "skip"}]}


@pytest.mark.parametrize("parts", [["random"], ["preselected"], ["random", "preselected"], ["preselected", "random"]])
def test_rows_are_the_records_of_the_parts(tmp_path, parts):
    """One text in six holds line breaks, which a split by lines would make rows of. Other parts need not be there."""
    for name in (*(PARTS[part] for part in parts), TEST):
        (tmp_path / name).write_bytes(FILES[name].encode())
    test = [{"id": "test-0", "text": "ура", "label": "positive"}]
    assert read(str(tmp_path), parts) == {"train": [row for part in parts for row in TRAIN[part]], "test": test}


def test_predictions_are_a_file_of_the_benchmark(tmp_path):
    """They go through whatever reads the files, and a prediction that is missing must not shift the others."""
    path = write(tmp_path / "new" / "folder", RANDOM, ["skip", "negative"])
    expected = '"label","text"\n"skip","Раз,\nдва ""три"""\n"negative","С праздником!"\n'
    assert path.name == "test_predictions.csv" and path.read_bytes().decode() == expected
    with pytest.raises(ValueError):
        write(tmp_path, RANDOM, ["skip"])
