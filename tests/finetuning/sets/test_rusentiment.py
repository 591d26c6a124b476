"""RuSentiment: the posts of the parts that are asked for."""

import pytest

from finetuning.sets.rusentiment import PARTS, TEST, read

FILES = {
    PARTS["random"]: 'label,text\nneutral,"Раз,\nдва ""три""\n"\nspeech,С праздником!\n',
    PARTS["preselected"]: "label,text\nskip,Что?\n",
    TEST: "label,text\npositive, ура \n",
}
TRAIN = {
    "random": [("random-0", 'Раз,\nдва "три"', "neutral"), ("random-1", "С праздником!", "speech")],
    "preselected": [("preselected-0", "Что?", "skip")],
}


@pytest.mark.parametrize("parts", [["random"], ["preselected"], ["random", "preselected"], ["preselected", "random"]])
def test_rows_are_the_records_of_the_parts(tmp_path, parts):
    """One text in six holds line breaks, which a split by lines would make rows of. Other parts need not be there."""
    for name in (*(PARTS[part] for part in parts), TEST):
        (tmp_path / name).write_bytes(FILES[name].encode())
    found = {name: [tuple(row.values()) for row in rows] for name, rows in read(str(tmp_path), parts).items()}
    train = [row for part in parts for row in TRAIN[part]]
    assert found == {"train": train, "test": [("test-0", "ура", "positive")]}
