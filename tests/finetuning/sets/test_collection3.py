"""Collection3 from its three sources, in three types and in five."""

import gzip

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

    def offer(**splits):
        monkeypatch.setattr(collection3, "load_from_hub", lambda name, columns: splits)

    return offer


def table(tags, feature, tokens=("США", "Анна")):
    features = datasets.Features(
        {"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": datasets.Sequence(feature)}
    )
    return datasets.Dataset.from_dict({"tokens": [list(tokens)], "ner_tags": [tags]}, features=features)


def test_tags():
    assert collection3.tags(3) == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
    assert len(collection3.tags(5)) == 11
    with pytest.raises(UserError, match="ask for 3 or 5"):
        collection3.tags(4)


def test_conll_files(tmp_path):
    rows = collection3.read(write(tmp_path, train=SENTENCE * 2, valid=SENTENCE, test=SENTENCE))
    assert {split: len(part) for split, part in rows.items()} == {"train": 2, "validation": 1, "test": 1}
    assert rows["train"][1]["id"] == "train-1" and rows["validation"][0]["id"] == "validation-0"


@pytest.mark.parametrize(("types", "tag"), [(3, "B-LOC"), (5, "B-GEOPOLIT")])
def test_five_types_or_three(tmp_path, types, tag):
    rows = collection3.read(write(tmp_path, train=SENTENCE, test=SENTENCE), types)
    assert rows["test"][0]["tags"] == [tag, "B-PER"]


def test_compressed_files_and_no_validation(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.txt.gz").write_bytes(gzip.compress(SENTENCE.encode()))
    assert list(collection3.read(str(tmp_path))) == ["train", "test"]
    (tmp_path / "valid.txt.gz").write_bytes(gzip.compress(SENTENCE.encode()))
    assert list(collection3.read(str(tmp_path))) == ["train", "validation", "test"]


@pytest.mark.parametrize("lost", ["train", "test"])
def test_a_missing_split_is_named(tmp_path, lost):
    kept = {"train": SENTENCE, "valid": SENTENCE, "test": SENTENCE}
    del kept[lost]
    with pytest.raises(UserError, match=f"lacks {lost}.txt"):
        collection3.read(write(tmp_path, **kept))


def test_an_empty_folder_and_a_missing_one(tmp_path):
    with pytest.raises(UserError, match="has neither train.txt"):
        collection3.read(str(tmp_path))
    with pytest.raises(UserError, match="RCC-MSU/collection3"):
        collection3.read(str(tmp_path / "missing"))


@pytest.mark.parametrize(("types", "tag"), [(3, "B-LOC"), (5, "B-GEOPOLIT")])
def test_brat_documents(tmp_path, types, tag):
    """Told from CoNLL files by their `.ann`, though both have files that end in `.txt`."""
    for name in ("train", "test"):
        write(tmp_path, **{name: "США"})
        (tmp_path / f"{name}.ann").write_text("T1\tGEOPOLIT 0 3\tСША\n", encoding="utf-8")
    rows = collection3.read(str(tmp_path), types)
    assert sorted(row["id"] for part in rows.values() for row in part) == ["test", "train"]
    assert rows["test"][0]["tags"] == [tag]


def test_the_hub_with_numbers_and_with_strings(hub):
    numbers = table([6, 1], datasets.ClassLabel(names=list(collection3.tags(3))))
    numbered = table([5, 1], datasets.ClassLabel(names=list(collection3.tags(3))))
    words = table(["B-LOC", "B-PER"], datasets.Value("string"))
    hub(train=numbers, validation=numbered, test=words)
    rows = collection3.read("RCC-MSU/collection3")
    assert {split: part[0]["tags"] for split, part in rows.items()} == {
        "train": ["B-LOC", "B-PER"],
        "validation": ["B-LOC", "B-PER"],
        "test": ["B-LOC", "B-PER"],
    }
    assert rows["test"][0]["text"] == "США Анна" and rows["test"][0]["id"] == "test-0"


def test_wrong_rows_of_the_hub(hub):
    good = table(["O", "O"], datasets.Value("string"))
    hub(train=good)
    with pytest.raises(UserError, match="no split 'test', only train"):
        collection3.read("a/b")
    for bad, problem in [
        (table([0, 1], datasets.Value("int64")), "unknown tag 0"),
        (table(["O", "B-X"], datasets.Value("string")), "unknown tag 'B-X'"),
        (table(["O"], datasets.Value("string")), "a tag for each token"),
        (table(["O", "O"], datasets.Value("string"), ["", "а"]), "no empty token"),
    ]:
        hub(train=good, test=bad)
        with pytest.raises(UserError, match="row 0 of test") as error:
            collection3.read("a/b")
        assert problem in str(error.value)


def test_predictions_are_written(tmp_path):
    rows = collection3.read(write(tmp_path, train=SENTENCE, test=SENTENCE))["test"]
    path = collection3.write(tmp_path / "out", rows, [["B-ORG", "O"]])
    assert path.name == "test_predictions.txt"
    assert path.read_text(encoding="utf-8") == "США\tB-ORG\nАнна\tO\n\n"
