"""JSON, and the check of rows that come from it, from XML, or from the Hub, with the place of what is wrong."""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError, one_line
from finetuning.formats.locate import read_text

logger = logging.getLogger(__name__)


class Wrong(Exception):
    """What is wrong with one row; `collect` adds where the row stands."""


def without_halves(text: str) -> tuple[str, int]:
    """The text with U+FFFD for each half of a surrogate pair, such as a cut emoji, and how many. No offset moves."""
    return re.subn("[\ud800-\udfff]", "\ufffd", text)


def parse(place: str | Path, content: str) -> Any:
    """The values of a JSON text. Half of a surrogate pair, such as a cut emoji, becomes U+FFFD: no offset moves.

    Raises UserError with the place of a text that is broken or ends early.
    """
    try:
        values = json.loads(content)
        mended, count = without_halves(json.dumps(values, ensure_ascii=False))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: broken JSON ({one_line(error)}); mend it or fetch the file again") from None
    if count:
        logger.warning("%s: %d characters that are half of a pair, such as a cut emoji, become U+FFFD", place, count)
    return json.loads(mended) if count else values


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """The place and the values of each line that is not blank. Raises UserError for a line that is no JSON."""
    # Not splitlines: JSON may hold U+2028 and its like inside strings.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", parse(f"{path}:{number}", line)


def collect(name: str, raws: Iterable[tuple[str, Any]], make: Callable[[Any], Iterable[dict]]) -> list[dict]:
    """The rows of one part.

    name: what messages call the part; raws: what rows are made of, each with its place; make: gives the rows of one of
    these, and raises Wrong if it cannot.
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


def value(raw: Any, key: str, kind: Any) -> Any:
    """What an object has under a key. Raises Wrong if that is absent or of another type; a truth value is no number.

    kind: its type, or several as in `str | int`.
    """
    if not isinstance(raw, Mapping):
        raise Wrong(f"{type(raw).__name__} and no object with `{key}`; mend the row")
    found = raw.get(key)
    if found is None:
        raise Wrong(f"no `{key}` among {', '.join(map(str, raw))}; fill it in or delete the row")
    if not isinstance(found, kind) or isinstance(found, bool):
        raise Wrong(f"`{key}` is {type(found).__name__} and not {getattr(kind, '__name__', kind)}; mend the row")
    return found


def text(raw: Any, key: str) -> str:
    """A text without the white space around it."""
    return value(raw, key, str).strip()


def number(raw: Any, key: str = "idx") -> int:
    """An integer, which may be spelled as a string, as in LiDiRus."""
    found = value(raw, key, int | str)
    return int(found) if str(found).isdecimal() and len(str(found)) < 20 else value(raw, key, int)
