"""Posts come out of CSV files whole, and a file that is damaged is refused by its line."""

import csv
import gzip
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distillation.config.errors import UserError
from finetuning.sets import rusentiment
from finetuning.sets.rusentiment import LABELS, PARTS, TEST, read, write

PROPERTY = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

RANDOM = 'label,text\nneutral,"Раз,\nдва ""три""\n"\nspeech,С праздником!\n'
PRESELECTED = "label,text\nskip,Что?\n"
GOLD = "label,text\npositive, ура \n"


def folder(path, **files):
    """A folder of the benchmark; keywords replace what a file holds, None leaves it out."""
    named = {"random": PARTS["random"], "preselected": PARTS["preselected"], "test": TEST}
    for key, content in ({"random": RANDOM, "preselected": PRESELECTED, "test": GOLD} | files).items():
        if content is not None:
            (path / named[key]).write_bytes(content.encode())
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
        (("random",), ["random-0", "random-1"]),
        (("preselected",), ["preselected-0"]),
        (["random", "preselected"], ["random-0", "random-1", "preselected-0"]),
    ],
)
def test_training_rows_come_from_the_parts(tmp_path, parts, ids):
    """A part that is not asked for need not be there."""
    left_out = {part: None for part in PARTS if part not in parts}
    rows = read(folder(tmp_path, **left_out), parts)
    assert [row["id"] for row in rows["train"]] == ids
    assert [row["id"] for row in rows["test"]] == ["test-0"]


@pytest.mark.parametrize("parts", [(), ("random", "random"), ("test",), "random"])
def test_unknown_and_repeated_parts_are_refused(tmp_path, parts):
    """A part that is read twice would weigh twice and repeat its ids."""
    with pytest.raises(UserError, match="`parts` must name some of random, preselected, each once"):
        read(folder(tmp_path), parts)


@pytest.mark.parametrize(
    "content",
    [
        "text,label\nда,skip\n",
        "\ufefflabel,text\r\nskip,да\r\n",
        "number,label,text\n7,skip,да\n",
        "label,text\n\nskip,да\n\n",
        'label,text\n"skip","да"',
    ],
    ids=["swapped", "windows", "more columns", "empty lines", "no line end"],
)
def test_columns_go_by_name(tmp_path, content):
    """Files that were saved again by other programs hold the same rows."""
    rows = read(folder(tmp_path, random=content))["train"]
    assert rows == [{"id": "random-0", "text": "да", "label": "skip"}]


def test_packed_files_are_read(tmp_path):
    (tmp_path / f"{TEST}.gz").write_bytes(gzip.compress(GOLD.encode()))
    assert len(read(folder(tmp_path, test=None))["test"]) == 1


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("", 1, "no column `label`"),
        ("label,text\n", 1, "no rows"),
        ("label,body\nskip,да\n", 1, "no column `text`; make it label,text"),
        ("skip,да\n", 1, "no column `label`"),
        ('label,text\nskip,"а\nб"\nskip,да,нет\n', 4, "3 cells and not 2; quote"),
        ("label,text\nskip,да\nneut", 3, "1 cells and not 2"),
        ("label,text\nskip,да\nsad,да\n", 3, "label 'sad' is none of neutral, .*skip"),
        ('label,text\nskip,"\n "\n', 2, "text is blank"),
        ("label,text\nskip,\n", 2, "text is blank"),
        ('label,text\nskip,"а\nб"\nskip,"cut\nhere\n', 4, "no CSV .*; mend its quotes or fetch"),
        ('label,text\nskip,да\nskip,"а"б\n', 3, "no CSV"),
        ('label,text\nskip,"' + "а" * 200_000 + '"\n', 2, "no CSV .*field larger"),
    ],
)
@pytest.mark.parametrize("split", ["random", "test"])
def test_damaged_files_are_refused_by_line(tmp_path, content, line, message, split):
    """A file that was cut would else be a smaller benchmark, and a wrong label a sixth class."""
    data_dir = folder(tmp_path, **{split: content})
    name = TEST if split == "test" else PARTS[split]
    with pytest.raises(UserError, match=rf"{name}:{line}: .*{message}") as caught:
        read(data_dir)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match=f"lacks {TEST}; looked for {PARTS['random']}, {TEST}"):
        read(folder(tmp_path, test=None))
    with pytest.raises(UserError, match="'owner/name' is no folder"):  # the benchmark is not on the Hub
        read("owner/name")


texts = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip), min_size=1)


@PROPERTY
@given(texts)
def test_whatever_is_written_as_csv_is_read_back(tmp_path, texts):
    """Commas, quotes and every kind of line break, which a reader of lines or with translation would change."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("label", "text"), *(("skip", text) for text in texts)])
    rows = read(folder(tmp_path, random=file.getvalue()))["train"]
    assert [row["text"] for row in rows] == [text.strip() for text in texts]


@PROPERTY
@given(texts, st.data())
def test_predictions_are_a_file_of_the_benchmark(tmp_path, texts, data):
    rows = [{"id": f"test-{number}", "text": text.strip(), "label": "skip"} for number, text in enumerate(texts)]
    labels = data.draw(st.lists(st.sampled_from(LABELS), min_size=len(rows), max_size=len(rows)))
    path = write(tmp_path / "new" / "folder", rows, labels)
    assert path.name == "test_predictions.csv"
    again = rusentiment.read(folder(tmp_path, test=path.read_bytes().decode()))["test"]
    assert again == [row | {"label": label} for row, label in zip(rows, labels, strict=True)]
    with pytest.raises(ValueError):  # a prediction that is missing must not shift the others
        write(tmp_path, rows, labels[1:])


def test_predictions_look_like_the_files(tmp_path):
    """They go through whatever reads those."""
    rows = [{"id": "test-0", "text": "да,\nда"}, {"id": "test-1", "text": '«нет» "да"'}]
    content = write(tmp_path, rows, ["skip", "speech"]).read_bytes().decode()
    assert content == '"label","text"\n"skip","да,\nда"\n"speech","«нет» ""да"""\n'
