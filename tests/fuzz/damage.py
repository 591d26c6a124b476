"""Damaged contents, changed JSON, things that stand where a file should, and recipes that are none."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRONG = (None, "word", "", -1, 0, 2**70, 0.5, [], {}, [1], {"a": 1}, True, float("nan"), "\x00", "\ud800")
PIECES = (b'"', b"\n", b"{", b"]", b"null", b"-1", b"1e999", b"NaN", b",", b"\\u0000", b"<", b"&", b"\t")


# One content becomes another.
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "cp1251": lambda content: content.decode("utf-8", "ignore").encode("cp1251", "replace"),
    "utf-16": lambda content: content.decode("utf-8", "ignore").encode("utf-16"),
    "noise": lambda content: random.Random(0).randbytes(4096),
    "no-text-inside": lambda content: content[:40] + b"\x00\xff\xfe\xc3" + content[40:],
    "carriage-returns": lambda content: content.replace(b"\n", b"\r"),
    "a-web-page": lambda content: b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
    "a-pointer": lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
    "a-long-line": lambda content: "слово ".encode() * 360_000,
    "a-deep-list": lambda content: b'{"data": ' + b"[" * 100_000,
}
# What no reader of a checkpoint may take for a file.
TORN = ("empty", "cut", "noise", "utf-16", "a-web-page", "a-pointer")


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A content in which bytes were cut, flipped, inserted, repeated, or exchanged for those that mean something."""
    for _ in range(draw.choice((1, 1, 2, 5))):
        first, last = sorted(draw.randrange(len(content) + 1) for _ in range(2))
        last = min(last, first + 200)
        flipped = bytes(byte ^ draw.choice((0, 1, 255)) for byte in content[first:last])
        changes = (b"", draw.randbytes(draw.choice((1, 8))), draw.choice(PIECES), flipped, content[first:last] * 2)
        change = draw.choice((*changes, None))
        content = content[:first] if change is None else content[:first] + change + content[last:]
    return content


def changed_json(content: bytes, draw: random.Random) -> bytes:
    """JSON, or its first line, in which one value was taken out or is one of `WRONG`; bytes changed if it is none."""
    first, *rest = content.split(b"\n")
    for text, others in ((content, []), (first, rest)):
        try:
            value = _changed(json.loads(text), draw)
        except ValueError:
            continue
        return b"\n".join([json.dumps(value).encode(), *others])
    return mutated(content, draw)


def _changed(value: Any, draw: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or draw.random() < 0.1:
        return draw.choice(WRONG)
    key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
    value[key] = _changed(value[key], draw)
    if draw.random() < 0.2:
        del value[key]
    return value


# What may stand in the place of a file; `locked` is open to root.
STAND_INS: dict[str, Callable[[Path], Any]] = {
    "absent": lambda path: None,
    "a-folder": lambda path: path.mkdir(),
    "a-dangling-link": lambda path: path.symlink_to(path.with_name("absent")),
    "a-link-to-itself": lambda path: path.symlink_to(path),
    "locked": lambda path: path.touch(0),
}

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
RECIPES: dict[str, bytes] = {
    "empty": b"",
    "a-list": b"- student_layers\n- 2\n",
    "not-closed": b"a: [1, 2\n",
    "two-documents": b"seed: 1\n---\nseed: 2\n",
    "twice-a-key": b"seed: 1\nseed: 2\n",
    "python-tag": b"seed: !!python/object/apply:os.system ['touch executed']\n",
    "laughs": LAUGHS.encode(),
    "recursive": b"a: &a [*a]\n",
    "cp1251": "# рецепт\nseed: 1\n".encode("cp1251"),
    "a-list-as-a-key": b"? [a, b]\n: 1\n",
    "a-recipe-in-a-recipe": b"config: other.yaml\n",
}
