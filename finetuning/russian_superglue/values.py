"""Values of a row, whose types differ from task to task and from file to file."""

from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 20  # digits of a number that is spelled as a string


class Wrong(Exception):
    """What is wrong with one row; whoever knows where it stands makes it a UserError."""


def value(raw: Any, key: str, kind: type) -> Any:
    """What an object has under a key.

    Raises Wrong if that is absent or of another type.
    """
    if not isinstance(raw, Mapping):
        raise Wrong(f"{type(raw).__name__} and no object with `{key}`; mend the row")
    if raw.get(key) is None:
        raise Wrong(f"no `{key}`; fill it in or delete the row")
    if not isinstance(raw[key], kind) or isinstance(raw[key], bool):
        raise Wrong(f"`{key}` is {type(raw[key]).__name__} and not {kind.__name__}; mend the row")
    return raw[key]


def text(raw: Any, key: str) -> str:
    """A text without the white space around it."""
    return value(raw, key, str).strip()


def number(raw: Any, key: str = "idx") -> int:
    """A whole number, which may be spelled as a string.

    Raises Wrong if it is absent or none.
    """
    found = raw.get(key) if isinstance(raw, Mapping) else None
    if isinstance(found, str) and found.strip().isdecimal() and len(found) < LONGEST:
        return int(found)
    return value(raw, key, int)


def label(raw: Mapping[str, Any], names: Sequence[str], labelled: bool, others: Sequence[str] = ()) -> int | None:
    """The place of a row's label in `names`; None if it has none, or -1 as on the Hub.

    A label may be a name, its place, or a truth value if the names are, each as such or as a string.

    labelled: whether every row must have one.
    others: other names of the same labels.

    Raises Wrong for another label, and for none where there must be one.
    """
    found = raw.get("label")
    if not labelled and found in (None, -1):
        return None
    if found is None:
        raise Wrong("no `label`; fill it in or delete the row")
    spelling = str(found).strip().lower()  # so that JSON's true and the string are one
    numbers = [str(place) for place in range(len(names))]
    for known in (names, numbers, others):
        if spelling in known:
            return known.index(spelling)
    raise Wrong(f"label {found!r} is none of {', '.join(names)}; mend the row")
