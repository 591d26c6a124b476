"""A folder, a file, the demo, or a set on the Hub is read, or refused in one sentence that names it."""

import gzip
from pathlib import Path

import datasets
import pytest
from datasets import Dataset, DatasetDict

from distillation.config.errors import UserError
from finetuning.formats.locate import find, is_demo, load_from_hub, local_folder, read_text

ROWS = DatasetDict({split: Dataset.from_dict({"a": [1], "b": [split]}) for split in ("train", "test")})


def test_a_folder_comes_before_a_hub_id(tmp_path, monkeypatch):
    """A folder `owner/name` that exists must not be looked for on the Hub."""
    monkeypatch.chdir(tmp_path)
    assert local_folder("owner/name", "set", "some/example") is None
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert local_folder("owner/name", "set", "some/example") == Path("owner/name")


def test_the_demo_is_a_folder_of_the_project(tmp_path, monkeypatch):
    """Scores on it must never be told as the benchmark's."""
    monkeypatch.chdir(tmp_path)
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


@pytest.mark.parametrize(("script", "config"), [(True, None), (False, "one")])
def test_sets_of_the_hub(monkeypatch, config, script):
    """`datasets` refuses to run loading scripts; the Hub keeps such sets as Parquet beside them."""
    asked, which = [], ("owner/name", config) if config else ("owner/name",)

    def load(*which, revision=None):
        asked.append((*which, revision))
        if script and revision is None:
            raise RuntimeError("Dataset scripts are no longer supported")
        return ROWS

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert load_from_hub("owner/name", ("a",), ("test",), config) is ROWS
    assert asked == [(*which, None), (*which, "refs/convert/parquet")][: 1 + script]


@pytest.mark.parametrize("error", [ConnectionError("no\nroute"), RuntimeError("a script")])
def test_hub_failures_are_one_sentence(monkeypatch, error):
    """The libraries below raise many kinds of errors, some over several lines."""

    def load(*args, **keys):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load)
    reason = " ".join(str(error).split())
    with pytest.raises(UserError, match=rf"'owner/name' is no folder and cannot be loaded.*{reason[:5]}") as caught:
        load_from_hub("owner/name", ("a",), ())
    assert "\n" not in str(caught.value)


def test_sets_of_another_shape_are_refused(monkeypatch):
    """A KeyError deep inside a reader would not say which data set is wrong."""
    monkeypatch.setattr(datasets, "load_dataset", lambda name: ROWS)
    with pytest.raises(UserError, match=r"'owner/name': split train has no column 'c'; it has \['a', 'b'\]"):
        load_from_hub("owner/name", ("a", "c"), ("train",))
    with pytest.raises(UserError, match="split validation has no column 'a'"):
        load_from_hub("owner/name", ("a",), ("train", "validation"))


def test_files_are_found_plain_or_packed(tmp_path):
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt.gz").touch()
    assert find(tmp_path, "b.txt", "a.txt") == [tmp_path / "b.txt.gz", tmp_path / "a.txt"]
    with pytest.raises(UserError, match=r"lacks c\.txt; looked for a\.txt, c\.txt"):
        find(tmp_path, "a.txt", "c.txt")


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_text_is_as_it_is_but_for_the_mark_at_the_start(tmp_path, name):
    """Offsets count CR and LF as two, and U+FEFF inside as one."""
    content = "\ufeffраз\r\n\ufeffдва\rтри\n"
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_text(tmp_path / name) == content[1:]


PACKED = gzip.compress("слово\n".encode() * 1000)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "раз\nдва\n".encode() + "три\n".encode("cp1251"), r"a\.txt:3: not valid UTF-8"),
        ("a.txt.gz", PACKED[:-20], r"a\.txt\.gz cannot be read .*; fetch the file again"),
        ("a.txt.gz", PACKED[:20] + b"\xff" * 20 + PACKED[40:], r"a\.txt\.gz cannot be read"),
    ],
    ids=["cp1251", "cut", "torn"],
)
def test_unreadable_files_are_refused_by_name(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_text(tmp_path / name)
