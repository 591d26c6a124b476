"""Types of command-line options: what they refuse, argparse tells with the option's name."""

from argparse import ArgumentTypeError
from pathlib import Path

MOST = 10**9


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or not 1 <= int(text[:20]) <= MOST:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def positive(text: str) -> float:
    """A number above 0."""
    if not 0 < float(text) <= MOST:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return float(text)


def output_file(text: str) -> Path:
    """A file that can be written when all is measured."""
    path = Path(text)
    if not path.resolve().parent.is_dir():
        raise ArgumentTypeError(f"{text!r}: its folder does not exist")
    if path.is_dir():
        raise ArgumentTypeError(f"{text!r} is a folder: name a file")
    return path
