"""What a case is: an entry point, keys that differ from those of a good call, and files that it needs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REFUSED, SURVIVED, EITHER = "refused", "survived", "either"
Make = Callable[[Path, Path], None]  # writes into the case's own folder, given that of the good inputs


@dataclass(frozen=True)
class Entry:
    """A script. In values, `{good}` is the folder of good inputs and `{here}` that of the case.

    keys: of a call that is well; the key "" holds arguments without one. corpora, models, tokenizers, yamls: keys
    whose values are such files or folders; data: the benchmark of its `data_dir`; types: dataclasses of its keys.
    """

    name: str
    main: Callable[[list[str]], Any]
    keys: Mapping[str, Any]
    prepare: Make | None = None  # what a call writes into, and so each case has of its own
    types: tuple[type, ...] = ()
    corpora: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tokenizers: tuple[str, ...] = ()
    yamls: tuple[str, ...] = ()
    data: str = ""
    options: tuple[str, ...] = ()  # keys without a dataclass that the good call does not have
    share: float = 1.0  # of its cases that a sample may hold: less for what takes long
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
