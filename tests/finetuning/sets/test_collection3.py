"""Collection3 from its three sources, in three types and in five."""

import datasets
import pytest

from distillation.config.errors import UserError
from finetuning.sets import collection3

SENTENCE = "США\tB-GEOPOLIT\nАнна\tB-PER\n\n"


def write(folder, **files):
    for name, content in files.items():
        (folder / f"{name}.txt").write_text(content, encoding="utf-8")
    return str(folder)


@pytest.fixture
def hub(monkeypatch):
    """Let the Hub have one data set."""
    return lambda **splits: monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(splits))


def table(tags, feature):
    features = datasets.Features({"tokens": [datasets.Value("string")], "ner_tags": [feature]})
    return datasets.Dataset.from_dict({"tokens": [["США", "Анна"]], "ner_tags": [tags]}, features=features)


def test_conll_files(tmp_path):
    rows = collection3.read(write(tmp_path, train=SENTENCE * 2, valid=SENTENCE, test=SENTENCE))
    assert {split: len(part) for split, part in rows.items()} == {"train": 2, "validation": 1, "test": 1}
    assert rows["train"][1]["id"] == "train-1" and rows["validation"][0]["id"] == "validation-0"


@pytest.mark.parametrize(("types", "tag"), [(3, "B-LOC"), (5, "B-GEOPOLIT")])
def test_five_types_or_three(tmp_path, types, tag):
    """Of CoNLL files; and of brat documents, told from those by their `.ann`, though both end in `.txt`."""
    rows = collection3.read(write(tmp_path, train=SENTENCE, test=SENTENCE), types)
    assert rows["test"][0]["tags"] == [tag, "B-PER"]
    for name in ("train", "test"):
        write(tmp_path, **{name: "США"})
        (tmp_path / f"{name}.ann").write_text("T1\tGEOPOLIT 0 3\tСША\n", encoding="utf-8")
    rows = collection3.read(str(tmp_path), types)
    assert sorted(row["id"] for part in rows.values() for row in part) == ["test", "train"]
    assert rows["test"][0]["tags"] == [tag]


def test_a_missing_split_is_named(tmp_path):
    with pytest.raises(UserError, match="lacks test.txt"):
        collection3.read(write(tmp_path, train=SENTENCE, valid=SENTENCE))
    with pytest.raises(UserError, match="or brat documents.*RCC-MSU/collection3"):
        collection3.read(str(tmp_path / "missing"))


def test_the_hub_with_numbers_and_with_strings(hub):
    """The names say what a number means."""
    names = list(collection3.tags(3))
    numbered = table([names.index("B-LOC"), 1], datasets.ClassLabel(names=names))
    turned = table([0, names.index("B-PER")], datasets.ClassLabel(names=["B-LOC", *names[1:-2], "O", "I-LOC"]))
    words = table(["B-LOC", "B-PER"], datasets.Value("string"))
    hub(train=numbered, validation=turned, test=words)
    rows = collection3.read("RCC-MSU/collection3")
    assert [part[0]["tags"] for part in rows.values()] == [["B-LOC", "B-PER"]] * 3
    assert rows["test"][0]["text"] == "США Анна" and rows["test"][0]["id"] == "test-0"


def test_wrong_rows_of_the_hub(hub):
    good = table(["O", "O"], datasets.Value("string"))
    for tags, kind, problem in (([0, 1], "int64", "0"), (["O", "B-X"], "string", "'B-X'")):
        hub(train=good, test=table(tags, datasets.Value(kind)))
        with pytest.raises(UserError, match=rf"a/b \(test\), row 0: unknown tag {problem}; known are O, B-PER"):
            collection3.read("a/b")
