"""CSV files come out whole, and one that is damaged is refused by its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.config.errors import UserError
from finetuning.formats import table

COLUMNS, LABELS = ("label", "text"), ("skip", "speech")


def read(path, content):
    (path / "a.csv").write_bytes(content.encode())
    return list(table.records(path / "a.csv", COLUMNS, label=LABELS))


def test_columns_go_by_name(tmp_path):
    for content in ("text,label\nда,skip\n", "\ufefflabel,text\r\nskip,да\r\n", 'label,text\n\n"skip","да"'):
        assert read(tmp_path, content) == [{"label": "skip", "text": "да"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ":1: the header has no column `label`; make it label,text"),
        ('label,text\nskip,"а\nб"\nskip,да,нет\n', ":4: not 2 cells; quote texts that hold commas"),
        ("label,text\nskip,да\nsad,да\n", ":3: label 'sad' is none of skip, speech"),
        ('label,text\nskip,"\n "\n', ":3: the text is blank; fill it in or delete the row"),
        ('label,text\nskip,"а\nб"\nskip,"cut\nhere\n', ":4: no CSV (unexpected end of data); mend the row's quotes"),
    ],
)
def test_damaged_files_are_refused_by_line(tmp_path, content, message):
    """A file that was cut would else be a smaller benchmark, and a wrong label one more class."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert f"a.csv{message}" in str(caught.value) and "\n" not in str(caught.value)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip), min_size=1))
def test_what_is_written_is_read_back(tmp_path_factory, texts):
    """Commas, quotes and every kind of line break, which a reader of lines or with translation would change."""
    path = tmp_path_factory.mktemp("csv") / "new" / "a.csv"
    assert table.write(path, COLUMNS, [("skip", text) for text in texts]) == path
    found = list(table.records(path, COLUMNS, label=LABELS))
    assert [(cells["label"], cells["text"]) for cells in found] == [("skip", text) for text in texts]
