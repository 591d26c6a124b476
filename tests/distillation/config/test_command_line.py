"""Keys of every kind, declared in one way; what a command line gets wrong."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from distillation.config.command_line import MEANT, REQUIRED, KeyParser, check_values, key
from distillation.config.corpus import CorpusArguments
from distillation.config.errors import UserError
from distillation.config.recipe import parse_recipe


@dataclass
class Kinds:
    """Keys of every kind."""

    runs: list[Path] = key([], "Folders.", positional=True)
    names: list[str] = key(["a"], "Names, 100 % of them.")
    parts: list[Literal["random", "chosen"]] = key(["random"], "Of which.")
    flag: bool = key(False, "Whether.")
    kept: bool = key(True, "Whether not.")
    maybe: bool | None = key(None, "Whether, perhaps.")
    limit: int | None = key(None, "At most.", least=-1)
    share: float | None = key(None, "Of all.", above=0, below=1)
    classes: Literal[2, 3] = key(2, "How many.")


@dataclass
class Paths:
    """Keys that name files and checkpoints."""

    output: Path = key(REQUIRED, "File for the figures.")
    corpus: str | None = key(None, "Corpus.", path="corpus")
    models: list[str] = key([], "Models.", path="source")
    results: list[Path] = key([], "Files.", path="local")


@pytest.mark.parametrize(
    ("argv", "yaml", "expected"),
    [
        ("", "limit: null", {"runs": [], "names": ["a"], "flag": False, "kept": True, "limit": None, "classes": 2}),
        ("--names a b 3", "names: [a, b, 3]", {"names": ["a", "b", "3"]}),
        ("--names=-a", "names: -a", {"names": ["-a"]}),
        ("--names", "names: []", {"names": []}),
        ("--flag --kept false --maybe=yes", "{flag: yes, kept: no}", {"flag": True, "kept": False}),
        ("--limit -1 --classes 3", "{limit: -1, classes: 3}", {"limit": -1, "classes": 3}),
        ("--parts chosen", "parts: [chosen]", {"parts": ["chosen"]}),
    ],
)
def test_values_of_every_kind(argv, yaml, expected, tmp_path):
    """A recipe passes through the same parser as the command line, and must come out as YAML meant it."""
    (tmp_path / "recipe.yaml").write_text(yaml, encoding="utf-8")
    for words in (argv.split(), ["--config", str(tmp_path / "recipe.yaml")]):
        (found,) = parse_recipe(Kinds, argv=words)
        assert {name: getattr(found, name) for name in expected} == expected
    assert parse_recipe(Kinds, argv=["a/b", "c", *argv.split()])[0].runs == [Path("a/b"), Path("c")]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--flags=true", "unknown key `flags`; did you mean `flag`?"),
        ("--lim 3", "unknown key `lim`; did you mean `limit`?"),  # short for one key today, for two tomorrow
        ("--s 2", "unknown key `s`; did you mean `share`?"),
        ("--limit 2.5", "`limit`: invalid int value: '2.5'"),
        ("--limit -2", "`limit` must be at least -1, got -2"),
        ("--share 1", "`share` must be below 1, got 1.0"),
        ("--share nan", "`share` must be above 0, got nan"),
        ("--flag perhaps", "`flag`: 'perhaps' is neither true nor false"),
        ("--classes 4", "`classes`: invalid choice: 4 (choose from 2, 3)"),
    ],
)
def test_mistakes_are_named_by_key(argv, message):
    with pytest.raises(UserError) as caught:
        parse_recipe(Kinds, argv=argv.split())
    assert str(caught.value) == message


@pytest.mark.parametrize("usual, other", [("batch_size", "auto_find_batch_size"), ("lr", "lr_scheduler_type")])
def test_a_usual_name_of_a_key_is_known(usual, other):
    """The nearest word to `batch_size` is another key, and another one begins with `lr`."""
    parser = KeyParser(Kinds, further=dict.fromkeys([other, MEANT[usual]]))
    with pytest.raises(UserError, match=f"did you mean `{MEANT[usual]}`"):
        parser.parse([f"--{usual}=8"])


def test_the_words_of_the_process_are_checked_like_others(monkeypatch):
    monkeypatch.setattr("sys.argv", ["script.py", "recipe.yaml"])
    with pytest.raises(UserError, match="'recipe.yaml' stands without a key"):
        KeyParser(CorpusArguments).parse(None)


def test_choices_hold_for_arguments_made_in_python():
    """A loop over variants in a notebook meets no parser."""
    with pytest.raises(UserError, match="`parts` is 'all'; choose one of random, chosen"):
        check_values(Kinds(parts=["random", "all"]))


def test_a_path_that_does_not_exist(tmp_path, monkeypatch):
    """A misspelt folder would be found after the libraries were loaded, or be looked for on the Hub."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "lines.txt").touch()
    for corpus in ("lines.txt", "*.txt", "demo", str(tmp_path)):
        assert parse_recipe(Paths, argv=["--output=a", "--corpus", corpus])[0].corpus == corpus
    for argv, message in (
        ("--output=a --corpus=line.txt", "`corpus` 'line.txt' does not exist"),
        ("--output=a --results . b.json", "`results` 'b.json' does not exist: name a file or a folder"),
        ("--output=a --corpus=a/*.txt", "`corpus` 'a/.*.txt' does not exist"),
        ("--output=a --models outputs owner/name outputs/tiny", "`models` 'outputs/tiny' does not exist"),
        ("corpus.txt", "'corpus.txt' stands without a key"),  # `run.py corpus.txt` looks as if it should work
        ("--output=a --corpus lines.txt b.txt", "`corpus` takes one value, and 'b.txt' is a second"),
        ("", "`output` is missing: File for the figures."),
    ):
        with pytest.raises(UserError, match=message):
            parse_recipe(Paths, argv=argv.split())
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match="`corpus` 'lines.txt' cannot be read"):
        parse_recipe(Paths, argv=["--output=a", "--corpus=lines.txt"])
