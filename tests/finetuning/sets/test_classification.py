"""One's own tables: what is read, what is left out, and what is refused with its row."""

import re

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillation.config.errors import UserError
from finetuning.formats.locate import OwnFiles
from finetuning.sets.classification import Options, read

TABLE = "text,label\n" + "".join(f"слово {n},{'да' if n % 2 else 'нет'}\n" for n in range(20))


@pytest.fixture
def parts(tmp_path):
    """A function that reads a train file, and perhaps a test file."""

    def run(content, name="mine.csv", test=None, **options):
        (tmp_path / name).write_text(content, encoding="utf-8")
        if test is not None:
            (tmp_path / f"test-{name}").write_text(test, encoding="utf-8")
        source = OwnFiles(str(tmp_path / name), None, test and str(tmp_path / f"test-{name}"))
        return read(source, Options(**options))

    return run


def test_texts_pairs_and_labels_by_their_columns(parts):
    content = "id;вопрос;ответ;верно\n7; Кто? ;Он.;True\n8;Где?;Там.;False\n"
    options = dict(text_column="вопрос", text_pair_column="ответ", label_column="верно")
    first, second = parts(content, **options)["train"]
    assert (first["id"], first["text"], first["text_2"], first["label"]) == ("1", "Кто?", "Он.", "True")
    assert second["place"].endswith("mine.csv, row 2") and second["label"] == "False"


def test_labels_of_any_type_are_texts(parts):
    """A column of whole numbers with gaps has become one of fractions; NaN is no label."""
    lines = [f'{{"text": "т{n}", "label": {label}}}\n' for n, label in enumerate(["1", "2.0", "true", "NaN", '"nan"'])]
    found = parts("".join(lines), "mine.jsonl")["train"]
    assert [(row["id"], row["label"]) for row in found] == [("1", "1"), ("2", "2"), ("3", "True"), ("5", "nan")]


def test_several_labels(parts, caplog):
    """Beside a separator JSON may have lists; a text without a label is an example, too."""
    options = dict(label_separator="|", label_column="emotions")
    table = parts("text,emotions\nа,страх| радость\nб,\nв,страх|страх\n", **options)["train"]
    lines = parts('{"text": "а", "emotions": ["страх", "радость"]}\n{"text": "б"}\n', "mine.jsonl", **options)["train"]
    assert [row["label"] for row in table] == [("радость", "страх"), (), ("страх",)]
    assert "1 rows without a label are examples of none" in caplog.text
    assert [row["label"] for row in lines] == [("радость", "страх"), ()]


def test_a_list_in_a_cell_is_a_list(parts):
    """As run_predict.py writes it, and pandas; other brackets are part of a label."""
    table = 'text,label\nа,"[""x"", ""y""]"\nб,"[\'x\']"\nв,[]\nг,[x] и y\n'
    found = parts(table, label_separator=",")["train"]
    assert [row["label"] for row in found] == [("x", "y"), ("x",), (), ("[x] и y",)]


def test_labels_that_look_alike_are_one(parts):
    """With decomposed letters, or with a mark that nobody sees at the end."""
    found = parts("text,label\nа,чёрный\nб,че\u0308рный\nв,\u200bчёрный\ufeff\nг,белый\n")["train"]
    assert {row["label"] for row in found} == {"чёрный", "белый"}


def test_labels_in_a_list_are_texts_as_one_alone_is(parts):
    line = '{"text": "а", "label": ["x", null, 1.0, true, "\\ud83d"]}\n{"text": "б", "label": ["1"]}\n'
    first, second = parts(line, "mine.jsonl", label_separator="|")["train"]
    assert first["label"] == ("1", "True", "x", "\ufffd") and second["label"] == ("1",)


def test_bytes_are_no_text(tmp_path):
    table = pa.table({"text": [b"\xd1\x85", b"a"], "label": ["x", "y"]})
    pq.write_table(table, tmp_path / "mine.parquet")
    with pytest.raises(UserError, match="`text` is a bytes and no text"):
        read(OwnFiles(str(tmp_path / "mine.parquet")), Options())


def test_what_is_blank_is_left_out_and_few_examples_are_told(parts, caplog):
    caplog.set_level("INFO", "finetuning")
    found = parts(TABLE + ' ,да\n"\n",нет\nслово,\nа,может\n' + "б" * 200_000 + ",да\n")
    assert len(found["train"]) == 22 and found["train"][-1]["id"] == "25"
    for sentence in (
        "2 rows without a text",
        "1 rows without a label",
        "'нет' 10",
        "commonest has 50 %",
        "10 examples: 'может'",
    ):
        assert sentence in caplog.text


def test_labels_that_others_are_joined_to_are_told(parts, caplog):
    parts("text,label\nа,x\nб,y\nв,x / y\n")
    assert "'x / y' is a label like others, though it joins some of them" in caplog.text
    caplog.clear()
    parts("text,label\nа,x\nб,y\nв,x|y\n", label_separator="|")
    parts("text,label\nа,x/z\nб,y\n")
    assert "joins" not in caplog.text and "no text has two labels" not in caplog.text
    parts("text,label\nа,x\nб,y\n", label_separator=";")
    assert "no text has two labels: leave `label_separator` out" in caplog.text


def test_a_set_on_the_hub_with_the_names_of_its_labels(monkeypatch):
    columns = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["нет", "да"])}
    table = datasets.Dataset.from_dict({"text": ["а", "б"], "label": [1, 0]}, datasets.Features(columns))
    monkeypatch.setattr(datasets, "load_dataset", lambda *which, **how: {"train": table})
    assert [row["label"] for row in read("owner/name", Options())["train"]] == ["да", "нет"]
    with pytest.raises(UserError, match="has no column `stars`; it has 'text', 'label'"):
        read("owner/name", Options(label_column="stars"))


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        ("text,label\nа,x\nб,x\n", {}, "two labels at least are to be told apart, and it has x"),
        ("text,label\n,\n", {}, "and it has none"),
        (TABLE, {"text_column": "review"}, "no column `review`; it has 'text', 'label'"),
        (
            TABLE,
            {"labels": ["да", "может"]},
            r"10 rows have labels that `labels` lacks \(.*mine.csv, row 1: 'нет'; .*row 3",
        ),
        (
            TABLE,
            {"test": "text,label\nа,да\nб,ДА\n"},
            r"1 rows have labels that train lacks \(.*test-mine.csv, row 2: 'ДА'",
        ),
        (
            "text,label\nа,x|y\n",
            {"labels": ["x", "z"], "label_separator": "|"},
            "1 rows have labels that `labels` lacks",
        ),
        (TABLE, {"label_separator": ""}, "`label_separator` is empty"),
        (
            "text,label\nа,x\nб,y\nв,x|y\n",
            {"label_separator": ";"},
            "`label_separator` ';' parts nothing, set it to '|'",
        ),
        (TABLE, {"text_column": "label"}, "texts and labels are in columns of their own, got label, label"),
        (TABLE, {"metric": "f1_micro"}, "`metric` is 'f1_micro'; choose one of accuracy, f1_weighted"),
        ('{"text": ["а"], "label": 1}\n', {"name": "mine.jsonl"}, ", row 1: `text` is a list and no text"),
    ],
)
def test_what_is_refused(parts, content, options, sentence):
    with pytest.raises(UserError) as caught:
        parts(content, **options)
    assert re.search(sentence, str(caught.value))


def test_no_list_of_labels_stands_before_the_error_that_they_are_none(parts, caplog):
    caplog.set_level("INFO", "finetuning")
    with pytest.raises(UserError, match="90 rows have 50 different labels"):
        parts("text,label\n" + "".join(f"{n},{n % 50}\n" for n in range(90)))
    assert not caplog.messages
