"""A folder, a file, the demo, or a set on the Hub is read, or refused in one sentence that names it."""

import gzip
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from distillation.config.errors import UserError
from finetuning.formats.locate import find, from_hub, is_demo, local_folder, read_text

ROWS = DatasetDict({split: Dataset.from_dict({"a": [1], "b": [split]}) for split in ("train", "test")})


def test_a_folder_comes_before_a_hub_id(tmp_path, monkeypatch):
    """A folder `owner/name` that exists must not be looked for on the Hub; the demo must not pass as a benchmark."""
    monkeypatch.chdir(tmp_path)
    assert local_folder("owner/name", "set", "some/example") is None
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert local_folder("owner/name", "set", "some/example") == Path("owner/name")
    folder = local_folder("demo", "rusentiment", None)
    assert folder.is_dir() and is_demo("demo") and is_demo(str(folder)) and not is_demo(str(tmp_path))


@pytest.mark.parametrize(
    ("data_dir", "hub", "message"),
    [
        ("absent", "some/example", r"'absent' is no folder \(of a.txt, b.txt\), nor .* such as some/example"),
        ("owner/name", None, r"'owner/name' is no folder \(of a.txt, b.txt\)$"),
        ("data/colection3", "some/example", "is no folder"),  # a slip: there is a folder `data`
    ],
)
def test_what_is_neither_folder_nor_hub_id_is_refused(tmp_path, monkeypatch, data_dir, hub, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match=message):
        local_folder(data_dir, "set", hub, "a.txt", "b.txt")


@pytest.mark.parametrize(
    ("script", "config", "place"), [(True, None, "owner/name (test)"), (False, "one", "owner/name (one, test)")]
)
def test_sets_of_the_hub(monkeypatch, script, config, place):
    """`datasets` refuses to run loading scripts; the Hub keeps such sets as Parquet beside them."""
    queries, which = [], ("owner/name", config) if config else ("owner/name",)

    def load(*which, revision=None):
        queries.append((*which, revision))
        if script and revision is None:
            raise RuntimeError("Dataset scripts are no longer supported")
        return ROWS

    monkeypatch.setattr(datasets, "load_dataset", load)
    (part, (name, rows)), *others = from_hub("owner/name", {"test": "test", "validation": "dev"}, config).items()
    assert queries == [(*which, None), (*which, "refs/convert/parquet")][: 1 + script]
    assert (part, name, others, list(rows)) == ("test", place, [], [(f"{place}, row 0", {"a": 1, "b": "test"})])


def test_labels_of_the_hub_have_their_names(monkeypatch):
    """The names say what a number means: our own order would turn answers round. -1 stands for none."""
    label = ClassLabel(names=["yes", "no"])
    rows = {"label": [1, -1, None], "tags": [[0, 1], [], [1]], "text": ["a", "b", "c"]}
    features = Features({"label": label, "tags": List(label), "text": Value("string")})
    made = DatasetDict(train=Dataset.from_dict(rows, features=features))
    monkeypatch.setattr(datasets, "load_dataset", lambda name: made)
    _, found = from_hub("owner/name", {"train": "train"})["train"]
    assert [row["label"] for _, row in found] == ["no", -1, None]
    _, found = from_hub("owner/name", {"train": "train"})["train"]
    assert [row["tags"] for _, row in found] == [["yes", "no"], [], ["no"]]


@pytest.mark.parametrize(
    ("error", "message"),
    [  # the libraries below raise many kinds of errors, some over several lines
        (ConnectionError("no\nroute"), "'owner/name' is no folder and cannot be loaded from the Hub: no route"),
        (RuntimeError("a script"), "'owner/name' is no folder and cannot be loaded from the Hub: a script"),
        (None, "`data_dir` 'owner/name' has no split dev; it has train, test"),
    ],
)
def test_hub_failures_are_one_sentence(monkeypatch, error, message):
    def load(*args, **keys):
        if error:
            raise error
        return ROWS

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(UserError) as caught:
        from_hub("owner/name", {"train": "train", "test": "dev"})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_files_are_found_plain_or_packed(tmp_path):
    for name in ("a.txt", "a.txt.gz", "b.txt.gz"):
        (tmp_path / name).touch()
    found = find(tmp_path, {"train": "b.txt", "test": "a.txt", "validation": "c.txt", "submission": "d.txt"})
    assert found == {"train": tmp_path / "b.txt.gz", "test": tmp_path / "a.txt"}
    with pytest.raises(UserError, match=r"lacks c\.txt; looked for a\.txt, c\.txt"):
        find(tmp_path, {"train": "a.txt", "test": "c.txt"})


PACKED = gzip.compress("слово\n".encode() * 1000)
TEXT = "\ufeffраз\r\n\ufeffдва\rтри\n"  # offsets count CR and LF as two, and U+FEFF inside as one


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", TEXT.encode(), None),
        ("a.txt.gz", gzip.compress(TEXT.encode()), None),
        ("a.txt", "раз\nдва\n".encode() + "три\n".encode("cp1251"), r"a\.txt:3: not valid UTF-8"),
        ("a.txt.gz", PACKED[:-20], r"a\.txt\.gz cannot be read .*; fetch the file again"),
        ("a.txt.gz", PACKED[:20] + b"\xff" * 20 + PACKED[40:], r"a\.txt\.gz cannot be read"),
    ],
    ids=["plain", "packed", "cp1251", "cut", "torn"],
)
def test_a_file_is_read_as_it_is_or_refused_by_name(tmp_path, name, content, message):
    """Only the mark at its start is taken away."""
    (tmp_path / name).write_bytes(content)
    if message is None:
        assert read_text(tmp_path / name) == TEXT[1:]
    else:
        with pytest.raises(UserError, match=message):
            read_text(tmp_path / name)
