"""The check of rows that come from JSON, XML, or the Hub: values of the right type, labels that are known, own ids."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from distillation.config.errors import UserError


class Wrong(Exception):
    """What is wrong with one row; `collect` adds where the row stands."""


def collect(name: str, raws: Iterable[tuple[str, Any]], make: Callable[[Any], Iterable[dict]]) -> list[dict]:
    """The rows of one part.

    name: of the file, or of the split on the Hub; raws: what each row, or some of them, is made of, with its place;
    make: gives the rows of one of these, and raises Wrong if it cannot.
    Raises UserError with the place of what is wrong and of an `id` that is repeated, and for a part without rows.
    """
    rows: dict[str, dict] = {}
    for place, raw in raws:
        try:
            for row in make(raw):
                if row["id"] in rows:
                    raise Wrong(f"id {row['id']} stands on an earlier row, too; delete one of them")
                rows[row["id"]] = row
        except Wrong as wrong:
            raise UserError(f"{place}: {wrong}") from None
    if not rows:
        raise UserError(f"{name}: no rows; a complete file has some, so fetch it again")
    return list(rows.values())


def numbered(name: str, rows: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    """Rows with their places: the number of each, from 0, as data sets of the Hub are indexed."""
    return ((f"{name}, row {number}", row) for number, row in enumerate(rows))


def value(raw: Any, key: str, kind: Any) -> Any:
    """What an object has under a key. Raises Wrong if that is absent or of another type; a truth value is no number.

    kind: its type, or several as in `str | int`.
    """
    if not isinstance(raw, Mapping):
        raise Wrong(f"{type(raw).__name__} and no object with `{key}`; mend the row")
    if raw.get(key) is None:
        raise Wrong(f"no `{key}`; fill it in or delete the row")
    if not isinstance(raw[key], kind) or isinstance(raw[key], bool):
        wanted = getattr(kind, "__name__", kind)
        raise Wrong(f"`{key}` is {type(raw[key]).__name__} and not {wanted}; mend the row")
    return raw[key]


def text(raw: Any, key: str) -> str:
    """A text without the white space around it."""
    return value(raw, key, str).strip()


def number(raw: Any, key: str = "idx") -> int:
    """An integer, which may be spelled as a string, as in LiDiRus."""
    found = value(raw, key, int | str)
    if isinstance(found, str) and found.isdecimal() and len(found) < 20:
        return int(found)
    return value(raw, key, int)


def label(
    raw: Mapping[str, Any], names: Sequence[str], labelled: bool = True, others: Sequence[str] = ()
) -> int | None:
    """The place of a row's label in `names`; None if it has none, or -1 as on the Hub.

    A label may be a name, its place, or a truth value if the names are, each as such or as a string.
    labelled: whether every row must have one; others: other names of the same labels.
    Raises Wrong for another label, and for none where there must be one.
    """
    found = raw.get("label")
    if not labelled and found in (None, -1):
        return None
    if found is None:
        raise Wrong("no `label`; fill it in or delete the row")
    spelling = str(found).strip().lower()  # so that JSON's true and the string are one
    numbers = [str(place) for place in range(len(names))]
    places = {name: place for known in (others, numbers, names) for place, name in enumerate(known)}
    if spelling not in places:
        raise Wrong(f"label {found!r} is none of {', '.join(names)}; mend the row")
    return places[spelling]
