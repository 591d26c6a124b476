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
TEXTS = {"text_1": "Первый ", "text_2": "Второй"}


def item(key, label, **texts):
    """A pair; what is None is left out."""
    values = {"id": key, "id_1": 7, **TEXTS, "class": label} | texts
    lines = [f'  <value name="{name}">{value}</value>\n' for name, value in values.items() if value is not None]
    return "".join(["<paraphrase>\n", *lines, "</paraphrase>\n"])


def folder(path, **files):
    """A folder of the benchmark, with one pair of each class where nothing else is given."""
    usual = HEAD + "".join(item(10 + label, label) for label in (-1, 0, 1)) + TAIL
    for part, name in FILES.items():
        (path / name).write_text(files.get(part, usual), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("classes", [2, 3])
def test_classes_are_those_of_the_task(tmp_path, monkeypatch, classes):
    """Of two classes, loose and strict paraphrases are one. The Hub gives the same rows, of texts or of numbers."""
    rows = [
        {"id": str(9 + number), "text": "Первый", "text_2": "Второй", "label": label}
        for number, label in enumerate(CLASSES[classes])
    ]
    assert read(folder(tmp_path), classes) == {"train": rows, "test": rows}
    assert set(CLASSES[classes]) == set(LABELS[classes])
    for kind in (str, int):
        raws = [{"id": kind(10 + label), **TEXTS, "class": kind(label)} for label in (-1, 0, 1)]
        made = DatasetDict(dict.fromkeys(("train", "test", "plus"), Dataset.from_list(raws)))
        monkeypatch.setattr(datasets, "load_dataset", lambda name, made=made: made)
        assert read(HUB, classes) == {"train": rows, "test": rows}


def test_texts_are_stripped_and_unescaped(tmp_path):
    """The parsers of the standard library know no encoding `UTF8`, and give text with entities in pieces."""
    pair = item(1, 0, text_1="\n «Ёж» &amp; &lt;еж&gt; &#233; ", text_2="Ж" * 10_000)
    (row,) = read(folder(tmp_path, train=HEAD + pair + "<!-- <paraphrase> -->" + TAIL))["train"]
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
@pytest.mark.parametrize("part", FILES)
def test_damaged_files_are_refused_by_pair(tmp_path, content, message, part):
    """A cut download would else be a smaller benchmark, and a pair without a text be about nothing."""
    with pytest.raises(UserError) as caught:
        read(folder(tmp_path, **{part: content}))
    assert f"{FILES[part]}{message}" in str(caught.value) and "\n" not in str(caught.value)


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
