"""What a case is: a script, keys that differ from those of a good call, and files that it needs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REFUSED, SURVIVED, EITHER = "refused", "survived", "either"
Make = Callable[[Path, Path], None]  # writes into the case's own folder, given that of the good inputs


@dataclass(frozen=True)
class Entry:
    """A script. In values, `{good}` is the folder of good inputs and `{here}` that of the case.

    keys: of a good call; the key "" holds arguments without one. types: dataclasses of further keys; options: further
    keys without a dataclass. corpora, models, yamls: keys whose values are such files or folders. folders: keys whose
    values are good folders with files to damage.
    """

    name: str
    main: Callable[[list[str]], Any]
    keys: Mapping[str, Any]
    types: tuple[type, ...] = ()
    options: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    yamls: tuple[str, ...] = ()
    folders: Mapping[str, str] = field(default_factory=dict)
    trains: bool = False  # whether it takes all of `TrainingArguments`
    fails: int = 2  # its other exit code, where it tells of a part that failed

    def argv(self, changes: Mapping[str, Any], good: Path, here: Path) -> list[str]:
        """The command line; a value None leaves a key out, a list is several values."""
        words: list[str] = []
        for key, value in {**self.keys, **changes}.items():
            if value is None:
                continue
            texts = [str(one) for one in value] if isinstance(value, list) else [str(value)]
            texts = [text.replace("{good}", str(good)).replace("{here}", str(here)) for text in texts]
            if not key:
                words = [*texts, *words]
            elif len(texts) == 1:  # which lets a value begin with a dash
                words.append(f"--{key}={texts[0]}")
            else:
                words += [f"--{key}", *texts]
        return words


@dataclass(frozen=True)
class Case:
    """One bad input. `name` says what is bad; with the entry's it is unique."""

    entry: Entry
    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    make: Make | None = None
    expected: str = EITHER

    @property
    def title(self) -> str:
        return f"{self.entry.name}/{self.name}"


Cases = Iterator[Case]
