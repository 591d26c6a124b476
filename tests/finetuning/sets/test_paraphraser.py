"""Pairs come out of XML that declares an encoding nobody knows, with the classes of either task."""

import xml.etree.ElementTree as ElementTree

import datasets
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from distillation.config.errors import UserError
from finetuning.sets.paraphraser import FILES, HUB, LABELS, read, write

FRAME = "<?xml version='1.0' encoding='UTF8'?>\n<data>\n<corpus>\n{}<!-- <paraphrase> --></corpus>\n</data>\n"
CLASSES = {2: ["not paraphrase", "paraphrase", "paraphrase"], 3: list(LABELS[3])}


def item(key, label, text="\n «Ёж» &amp; <b>&lt;еж&gt;</b> &#233; "):  # text around a tag is text
    values = {"id": key, "id_1": 7, "text_1": text, "text_2": "Второй", "class": label}
    lines = [f'  <value name="{name}">{value}</value>\n' for name, value in values.items()]
    return "".join(["<paraphrase>\n", *lines, "</paraphrase>\n"])


def folder(path, content):
    """A folder of the benchmark, with one pair of each class in train."""
    usual = FRAME.format("".join(item(10 + label, label) for label in (-1, 0, 1)))
    for name, text in zip(FILES, (usual, content or usual), strict=True):
        (path / name).write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("classes", [2, 3])
def test_classes_are_those_of_the_task(tmp_path, monkeypatch, classes):
    """Of two classes, loose and strict paraphrases are one. The Hub gives the same rows, of texts or of numbers."""
    texts, labels = {"text": "«Ёж» & <еж> é", "text_2": "Второй"}, CLASSES[classes]
    rows = [{"id": str(9 + number), **texts, "label": label} for number, label in enumerate(labels)]
    assert read(folder(tmp_path, None), classes) == {"train": rows, "test": rows}
    for kind in (str, int):
        raws = {"id": [9, 10, 11], "text_1": [" «Ёж» & <еж> é"] * 3, "text_2": ["Второй"] * 3, "class": [-1, 0, 1]}
        table = Dataset.from_dict(raws | {name: [*map(kind, raws[name])] for name in ("id", "class")})
        monkeypatch.setattr(datasets, "load_dataset", lambda name, table=table: {"train": table, "test": table})
        assert read(HUB, classes) == {"train": rows, "test": rows}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (FRAME.format(item(1, 0))[:-17], ": broken XML (unclosed token: line 12, column 21); mend it"),
        (FRAME.format(item(1, 0) + item(2, 0, text=" \n ")), ": pair 2: no `text_1`; fill it in"),
        (FRAME.format(item(1, 0) + item(2, 2)), ": pair 2: class '2' is none of -1, 0, 1"),
        (FRAME.format(item(1, 0) + item(1, 1)), ": pair 1: id 1 stands on an earlier row"),
    ],
)
def test_damaged_files_are_refused_by_pair(tmp_path, content, message):
    with pytest.raises(UserError) as caught:
        read(folder(tmp_path, content))
    assert f"{FILES[1]}{message}" in str(caught.value) and "\n" not in str(caught.value)


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
    again = read(folder(base, path.read_text(encoding="utf-8")), classes)["test"]
    assert again == [row | {"label": label} for row, label in zip(rows, labels, strict=True)]
