"""Collection3 from its three sources, in three types and in five."""

from contextlib import nullcontext

import datasets
import pytest

from distillation.config.errors import UserError
from finetuning.sets import collection3


def write(folder, *names, content="США\tB-GEOPOLIT\nАнна\tB-PER\n\n"):
    for name in names:
        (folder / name).write_text(content, encoding="utf-8")


@pytest.mark.parametrize(("types", "tag"), [(3, "B-LOC"), (5, "B-GEOPOLIT")])
def test_five_types_or_three(tmp_path, types, tag):
    """Of CoNLL files; and of brat documents, told from those by their `.ann`, though both end in `.txt`."""
    write(tmp_path, "train.txt", "valid.txt", "test.txt")
    rows = collection3.read(str(tmp_path), types)
    assert [row["id"] for part in rows.values() for row in part] == ["train-0", "validation-0", "test-0"]
    assert rows["test"][0]["tags"] == [tag, "B-PER"]
    (tmp_path / "test.txt").unlink()
    with pytest.raises(UserError, match="lacks test.txt"):
        collection3.read(str(tmp_path))
    write(tmp_path, "train.txt", "test.txt", "valid.txt", content="США")
    write(tmp_path, "train.ann", "test.ann", "valid.ann", content="T1\tGEOPOLIT 0 3\tСША\n")
    rows = collection3.read(str(tmp_path), types)
    assert [row["tags"] for part in rows.values() for row in part] == [[tag]] * 3
    with pytest.raises(UserError, match="or brat documents.*RCC-MSU/collection3"):
        collection3.read(str(tmp_path / "missing"))


TEXT, NAMES = datasets.Value("string"), datasets.ClassLabel(names=["B-PER", "B-LOC"])
WRONG = "unknown tag 'B-X' of 'Анна'; known are O, B-PER"


@pytest.mark.parametrize(
    ("tags", "feature", "wrong"),
    [(["B-LOC", "B-PER"], TEXT, None), ([1, 0], NAMES, None), (["B-LOC", "B-X"], TEXT, WRONG)],
)
def test_the_hub_with_numbers_and_with_strings(monkeypatch, tags, feature, wrong):
    features = datasets.Features({"tokens": [TEXT], "ner_tags": [feature]})
    table = datasets.Dataset.from_dict({"tokens": [["США", "Анна"]], "ner_tags": [tags]}, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(train=table, test=table))
    words = {"text": "США Анна", "words": [[0, 3], [4, 8]], "tags": ["B-LOC", "B-PER"]}
    with pytest.raises(UserError, match=rf"a/b \(train\), row 0: {wrong}") if wrong else nullcontext():
        assert collection3.read("a/b") == {part: [{"id": f"{part}-0", **words}] for part in ("train", "test")}
