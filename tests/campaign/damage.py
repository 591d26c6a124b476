"""What happens to files: contents that are damaged, and things that stand where a file should."""

import gzip
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.campaign.case import Make

Change = Callable[[Path], None]  # of a copy of a good folder
HUGE = 4_000_000  # bytes of one line


def _swapped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[middle:] + content[:middle]


# A content becomes another.
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "blank": lambda content: b"\n \n\t\n\r\n",
    "cut": lambda content: content[: len(content) // 2],
    "cut-at-the-end": lambda content: content[:-3],
    "cut-at-the-start": lambda content: content[7:],
    "swapped": _swapped,
    "cp1251": lambda content: content.decode("utf-8", "ignore").encode("cp1251", "replace"),
    "utf-16": lambda content: content.decode("utf-8", "ignore").encode("utf-16"),
    "bom": lambda content: b"\xef\xbb\xbf" + content,
    "zeros": lambda content: b"\x00" * 4096,
    "noise": lambda content: random.Random(0).randbytes(4096),
    "nul-inside": lambda content: content[:40] + b"\x00\x01" + content[40:],
    "invalid-utf-8": lambda content: content[:40] + b"\xff\xfe\xc3" + content[40:],
    "carriage-returns": lambda content: content.replace(b"\n", b"\r"),
    "twice": lambda content: content + content,
    "a-web-page": lambda content: b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
    "a-pointer": lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
    "a-long-line": lambda content: "слово ".encode() * (HUGE // 11),
}


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A content in which bytes were cut, flipped, inserted, repeated, or exchanged for those that mean something."""
    for _ in range(draw.choice((1, 1, 2, 5))):
        first, last = sorted(draw.randrange(len(content) + 1) for _ in range(2))
        last = min(last, first + 200)
        match draw.randrange(6):
            case 0:
                content = content[:first] + content[last:]
            case 1:
                content = content[:first]
            case 2:
                content = content[:first] + draw.randbytes(draw.choice((1, 8))) + content[last:]
            case 3:
                content = content[:last] + content[first:]
            case 4:
                content = content[:first] + draw.choice(_MEANT) + content[first:]
            case _:
                flipped = bytes(byte ^ draw.choice((0, 1, 255)) for byte in content[first:last])
                content = content[:first] + flipped + content[last:]
    return content


_MEANT = (b'"', b"\n", b"{", b"]", b"null", b"-1", b"1e999", b"NaN", b",", b"\\u0000", b"<", b"&", b"\t")


def copied(source: str, target: str, change: Change) -> Make:
    """Makes a changed copy of one of the good folders."""

    def make(good: Path, here: Path) -> None:
        shutil.copytree(good / source, here / target)
        change(here / target)

    return make


def damaged(file: str, damage: Callable[[bytes], bytes], ending: str = "") -> Change:
    """Damages the content of a file, whose name then also has the ending."""

    def change(folder: Path) -> None:
        path = folder / file
        content = path.read_bytes()
        path.unlink()
        path.with_name(path.name + ending).write_bytes(damage(content))

    return change


def replaced(file: str, stand_in: Callable[[Path], None]) -> Change:
    """Puts another thing in a file's place."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        stand_in(folder / file)

    return change


def _folder(path: Path) -> None:
    path.mkdir()


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("absent"))


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _locked(path: Path) -> None:
    path.write_bytes(b"secret")
    path.chmod(0)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


# What may stand in the place of a file; `locked` is open to root.
STAND_INS: dict[str, Callable[[Path], None]] = {
    "absent": lambda path: None,
    "a-folder": _folder,
    "a-dangling-link": _dangling,
    "a-link-to-itself": _loop,
    "locked": _locked,
    "a-pipe": _fifo,
}

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
# Recipes that are none, whatever the script.
RECIPES: dict[str, bytes] = {
    name: text.encode() if isinstance(text, str) else text
    for name, text in {
        "empty": "",
        "a-list": "- student_layers\n- 2\n",
        "a-word": "student_layers\n",
        "a-number": "7\n",
        "not-closed": "a: [1, 2\n",
        "a-tab": "a:\n\t- b\n",
        "two-documents": "seed: 1\n---\nseed: 2\n",
        "twice-a-key": "seed: 1\nseed: 2\n",
        "python-tag": "seed: !!python/object/apply:os.system ['touch executed']\n",
        "python-name": "seed: !!python/name:os.system\n",
        "laughs": LAUGHS,
        "recursive": "a: &a [*a]\n",
        "recursive-mapping": "a: &a {b: *a}\n",
        "cp1251": "# рецепт\nseed: 1\n".encode("cp1251"),
        "utf-16": "seed: 1\n".encode("utf-16"),
        "bom": "\ufeffseed: 1\n",
        "nul": b"seed: 1\x00\n",
        "noise": random.Random(0).randbytes(500),
        "cyrillic-keys": "зерно: 1\n",
        "a-number-as-a-key": "1: 2\n",
        "a-list-as-a-key": "? [a, b]\n: 1\n",
        "no-key": "? \n: 1\n",
        "a-date": "seed: 2026-01-01\n",
        "nested": "seed: {a: {b: 1}}\n",
        "list-of-lists": "seed: [[1], [2]]\n",
        "a-word-for-a-number": "seed: many\n",
        "a-number-too-large": "seed: 1" + "0" * 400 + "\n",
        "digits": "seed: " + "9" * 5000 + "\n",
        "a-nul-in-a-value": 'output_dir: "a\\0b"\n',
        "deep": "seed: " + "[" * 5000 + "]" * 5000 + "\n",
        "a-recipe-in-a-recipe": "config: other.yaml\n",
        "dashes": "--seed: 1\n",
        "an-empty-list": "seed: []\n",
        "another-anchor": "seed: *nothing\n",
    }.items()
}


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
