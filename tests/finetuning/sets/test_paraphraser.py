"""Pairs come out of XML that declares an encoding nobody knows, with the classes of either task."""

import xml.etree.ElementTree as ElementTree

import datasets
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from distillation.config.errors import UserError
from finetuning.sets.paraphraser import FILES, HUB, LABELS, read, write

HEAD = "<?xml version='1.0' encoding='UTF8'?>\n<data>\n<head><title>Заглавие</title></head>\n<corpus>\n"
TAIL = "</corpus>\n</data>\n"
CLASSES = {2: ["not paraphrase", "paraphrase", "paraphrase"], 3: list(LABELS[3])}


def item(key, label, text_1="Первый", text_2="Второй"):
    """A pair; what is None is left out."""
    values = {"id": key, "id_1": 7, "text_1": text_1, "text_2": text_2, "class": label}
    lines = [f'  <value name="{name}">{value}</value>\n' for name, value in values.items() if value is not None]
    return "".join(["<paraphrase>\n", *lines, "</paraphrase>\n"])


def folder(path, train=None, test=None):
    """A folder of the benchmark, with one pair of each class where nothing else is asked for."""
    for name, content in zip(FILES.values(), (train, test), strict=True):
        if content is None:
            content = HEAD + "".join(item(10 + label, label) for label in (-1, 0, 1)) + TAIL
        (path / name).write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("classes", [2, 3])
def test_classes_are_those_of_the_task(tmp_path, classes):
    """Of two classes, loose and strict paraphrases are one."""
    splits = read(folder(tmp_path), classes)
    assert set(splits) == {"train", "test"} and set(CLASSES[classes]) == set(LABELS[classes])
    for rows in splits.values():
        assert [row["label"] for row in rows] == CLASSES[classes]
        assert [row["id"] for row in rows] == ["9", "10", "11"]
        assert {(row["text"], row["text_2"]) for row in rows} == {("Первый", "Второй")}


def test_texts_are_stripped_and_unescaped(tmp_path):
    """The parsers of the standard library know no encoding `UTF8`, and give text with entities in pieces."""
    train = HEAD + item(1, 0, "\n «Ёж» &amp; &lt;еж&gt; &#233; ", "Ж" * 10_000) + "<!-- <paraphrase> -->" + TAIL
    (row,) = read(folder(tmp_path, train))["train"]
    assert row == {"id": "1", "text": "«Ёж» & <еж> é", "text_2": "Ж" * 10_000, "label": "paraphrase"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + item(1, 0), ": broken XML (no element found: line 12, column 0); mend it or fetch the file again"),
        (HEAD + item(1, 0) + item(2, 0, text_2=" \n ") + TAIL, ": pair 2: no `text_2`; fill it in"),
        (HEAD + item(None, 0) + TAIL, ": pair 1: no `id`"),
        (HEAD + item(1, 0) + item(2, 2) + TAIL, ": pair 2: class '2' is none of -1, 0, 1"),
        (HEAD + item(1, 0) + item(1, 1) + TAIL, ": pair 1: id 1 stands on an earlier row"),
    ],
)
@pytest.mark.parametrize("name", FILES.values())
def test_damaged_files_are_refused_by_pair(tmp_path, content, message, name):
    """A cut download would else be a smaller benchmark, and a pair without a text be about nothing."""
    with pytest.raises(UserError) as caught:
        read(folder(tmp_path, **{"train" if name == FILES["train"] else "test": content}))
    assert f"{name}{message}" in str(caught.value) and "\n" not in str(caught.value)


COLUMNS = {"id": [9, 10, 11], "text_1": ["Первый "] * 3, "text_2": ["Второй"] * 3, "class": [-1, 0, 1]}


@pytest.mark.parametrize("kind", [str, int])
def test_the_hub_gives_the_same_rows(tmp_path, monkeypatch, kind):
    """Columns of numbers, as other copies may have them, are the same classes and ids."""
    numbers = {name: list(map(kind, COLUMNS[name])) for name in ("id", "class")}
    rows = Dataset.from_dict(COLUMNS | numbers)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: DatasetDict(train=rows, test=rows, plus=rows))
    for classes in LABELS:
        assert read(HUB, classes) == read(folder(tmp_path), classes)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1).filter(str.strip)


@given(st.sampled_from([2, 3]), st.data())
def test_predictions_are_a_file_of_the_benchmark(tmp_path_factory, classes, data):
    """Of two classes, paraphrases are written as strict ones: the reading of two classes gives them back."""
    pairs = data.draw(st.lists(st.tuples(texts, texts, st.sampled_from(LABELS[classes])), min_size=1, max_size=5))
    rows = [{"id": str(n), "text": a.strip(), "text_2": b.strip()} for n, (a, b, _) in enumerate(pairs)]
    labels, base = [label for _, _, label in pairs], tmp_path_factory.getbasetemp()
    path = write(base / "new" / "folder", rows, labels)
    assert path.name == "test_predictions.xml"
    assert len(ElementTree.parse(path).findall("corpus/paraphrase")) == len(rows)  # whatever reads XML reads it
    again = read(folder(base, test=path.read_text(encoding="utf-8")), classes)["test"]
    assert again == [row | {"label": label} for row, label in zip(rows, labels, strict=True)]
    with pytest.raises(ValueError):
        write(base, rows, labels[1:])
