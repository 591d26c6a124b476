"""A folder, a file, the demo, or a set on the Hub is read, or refused in one sentence that names it."""

import gzip
from contextlib import nullcontext
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, Features, List

from distillation.config.errors import UserError
from finetuning.formats.locate import find, from_hub, is_demo, local_folder, read_text

LABEL = ClassLabel(names=["yes", "no"])
TABLE = Dataset.from_dict(
    {"label": [1, -1, None], "tags": [[0, 1], [], [1]]}, features=Features({"label": LABEL, "tags": List(LABEL)})
)


def test_a_folder_comes_before_a_hub_id(tmp_path, monkeypatch):
    """A folder `owner/name` that exists must not be looked for on the Hub; the demo must not pass as a benchmark."""
    monkeypatch.chdir(tmp_path)
    assert local_folder("owner/name", "set", "some/example") is None
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert local_folder("owner/name", "set", "some/example") == Path("owner/name")
    folder = local_folder("demo", "rusentiment", None)
    assert folder.is_dir() and is_demo("demo") and is_demo(str(folder)) and not is_demo(str(tmp_path))
    for data_dir, hub, message in (
        ("absent", "some/example", r"'absent' is no folder \(of a.txt, b.txt\), nor .* such as some/example"),
        ("no/name", None, "'no/name' is no folder"),
        ("owner/nam", "some/example", "is no folder"),  # a slip: there is a folder `owner`
    ):
        with pytest.raises(UserError, match=message):
            local_folder(data_dir, "set", hub, "a.txt", "b.txt")


@pytest.mark.parametrize(
    ("errors", "config", "message"),
    [
        ([], "one", None),
        ([RuntimeError("a script")], None, None),  # which `datasets` refuses to run; the Hub has Parquet beside it
        (
            [RuntimeError("a"), OSError("no\nroute")],
            None,
            " can be read neither as a folder nor from the Hub: no route",
        ),
        ([], None, " has no split dev; it has train, test"),
    ],
)
def test_sets_of_the_hub(monkeypatch, errors, config, message):
    """Labels have their names, since our own order of numbers could turn answers round; -1 stands for none."""
    queries = []

    def load(*which, revision=None):
        queries.append((*which, revision))
        if len(queries) <= len(errors):
            raise errors[len(queries) - 1]
        return {"train": TABLE, "test": TABLE}

    monkeypatch.setattr(datasets, "load_dataset", load)
    if message:
        with pytest.raises(UserError) as caught:
            from_hub("owner/name", {"train": "train", "test": "dev"}, config)
        assert str(caught.value) == f"`data_dir` 'owner/name'{message}"
    else:
        ((part, (name, rows)),) = from_hub("owner/name", {"test": "test", "validation": "dev"}, config).items()
        which, place = (("owner/name", config), "one, test") if config else (("owner/name",), "test")
        assert queries == [(*which, None), (*which, "refs/convert/parquet")][: 1 + len(errors)]
        assert (part, name) == ("test", f"owner/name ({place})")
        cells = [("no", ["yes", "no"]), (-1, []), (None, ["no"])]
        named = [{"label": label, "tags": tags} for label, tags in cells]
        assert list(rows) == [(f"{name}, row {number}", row) for number, row in enumerate(named)]


def test_files_are_found_plain_or_packed(tmp_path, caplog):
    for name in ("a.txt", "a.txt.gz", "b.txt.gz"):
        (tmp_path / name).touch()
    found = find(tmp_path, {"train": "b.txt", "test": "a.txt", "validation": "c.txt", "submission": "d.txt"})
    assert found == {"train": tmp_path / "b.txt.gz", "test": tmp_path / "a.txt"}
    assert "has no c.txt: a tenth of train takes its place" in caplog.text
    with pytest.raises(UserError, match=r"lacks c\.txt; looked for a\.txt, c\.txt"):
        find(tmp_path, {"train": "a.txt", "test": "c.txt"})


PACKED = gzip.compress("слово\n".encode() * 1000, mtime=0)
TEXT = "\ufeffраз\r\n\ufeffдва\rтри\n"  # offsets count CR and LF as two, and U+FEFF inside as one


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", TEXT.encode(), None),
        ("a.txt.gz", gzip.compress(TEXT.encode(), mtime=0), None),
        ("a.txt", "раз\nдва\n".encode() + "три\n".encode("cp1251"), r"a\.txt:3: not valid UTF-8"),
        ("a.txt.gz", PACKED[:-20], r"a\.txt\.gz cannot be read .*; fetch the file again"),
        ("a.txt.gz", PACKED[:20] + b"\xff" * 20 + PACKED[40:], r"a\.txt\.gz cannot be read"),
    ],
)
def test_a_file_is_read_as_it_is_or_refused_by_name(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) if message else nullcontext():
        assert read_text(tmp_path / name) == TEXT[1:]
