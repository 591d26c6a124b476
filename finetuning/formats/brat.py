"""brat stand-off documents: NAME.txt with the text, NAME.ann with the character spans of its entities."""

import logging
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from distillation.config.errors import UserError
from finetuning.formats.locate import read_text
from finetuning.tasks.bio_spans import encode, spans_of_words, words_of

logger = logging.getLogger(__name__)

FOLDERS = {"train": "train", "validation": "valid", "test": "test"}  # splits and where their documents may lie
ANNOTATED = "[!.]*.ann"  # hidden files are the system's
ENTITY = re.compile(r"T\S*\t(\S+) (\d{1,9} \d{1,9}(?:;\d{1,9} \d{1,9})*)\t(.*)")
# How much a character counts in offsets: brat counts characters, tools in Java and JavaScript UTF-16, some bytes.
UNITS: dict[str, Callable[[str], int]] = {
    "characters": len,
    "UTF-16": lambda character: 1 + (character > "\uffff"),
    "bytes": lambda character: len(character.encode()),
}


class Entity(NamedTuple):
    """One line of an `.ann` file; `line` is file:line."""

    line: str
    type: str
    pieces: list[tuple[int, int]]  # an entity may leave out words in its middle
    surface: str

    def fits(self, text: str) -> bool:
        """Whether the surface stands where the line says, up to the kind of white space, and is not blank."""
        found = " ".join(text[start:end] for start, end in self.pieces).split()
        return max(self.pieces)[1] <= len(text) and bool(found) and found == self.surface.split()

    def moved(self, index: Mapping[int, int]) -> "Entity":
        """The same with the characters at its offsets. Raises KeyError for an offset inside a character."""
        return self._replace(pieces=[(index[start], index[end]) for start, end in self.pieces])


def is_brat(folder: Path) -> bool:
    """Whether there are `.ann` files in the folder or in one of the folders of the splits."""
    return any(any(place.glob(ANNOTATED)) for place in (folder, *(folder / name for name in FOLDERS.values())))


def read(folder: Path, types: Mapping[str, str] | None) -> dict[str, list[dict]]:
    """The documents by split: of the folders train, valid (may be absent), and test, or 80 %, 10 %, and 10 % of the
    documents of the folder itself. types: as for `documents`, which it raises as."""
    return {split: documents(folder, paths, types) for split, paths in _splits(folder).items()}


def documents(folder: Path, paths: Sequence[Path] | None, types: Mapping[str, str] | None) -> list[dict]:
    """One row for each of some documents of a folder, or of all.

    A row: `id`, the name; `text`, with its line ends; `words`, the spans of words and single signs; `tags`. An entity
    that begins or ends inside a word takes the whole word, and one of several pieces what lies between.
    types: the known entity types, each with the type to read it as; None for any.
    Raises UserError for a file without its partner and with the line of a wrong or misplaced entity.
    """
    rows: list[dict] = []
    dropped, units = 0, Counter[str]()
    for path in _texts(folder) if paths is None else paths:
        if missing := [one for one in (path, path.with_suffix(".ann")) if not one.exists()]:
            raise UserError(f"{path.with_suffix('')} has no {missing[0].suffix}: a document is a .txt and its .ann")
        entities = _entities(path.with_suffix(".ann"), types)
        text, entities, unit = _annotated(read_text(path), entities)
        units[unit] += 1
        words = words_of(text)
        hulls = [(one.pieces[0][0], one.pieces[-1][1], types[one.type] if types else one.type) for one in entities]
        spans = spans_of_words(hulls, words)
        rows.append({"id": path.stem, "text": text, "words": words, "tags": encode(spans, len(words))})
        dropped += len(entities) - len(spans)
    if dropped:
        logger.info("%s: %d entities dropped, as they overlap longer ones", folder, dropped)
    if len(units) > 1 or "characters" not in units:
        logger.info("%s: documents by what their offsets count: %s", folder, dict(units))
    return rows


def _splits(folder: Path) -> dict[str, list[Path]]:
    """The texts of each split."""
    paths = _texts(folder)
    if not any(folder.glob(ANNOTATED)):
        splits = {split: _texts(folder / name) for split, name in FOLDERS.items()}
    elif len(paths) < 2:
        raise UserError(f"{folder} has one document; a train and a test split need two at least")
    else:
        random.Random(0).shuffle(paths)
        tenth = max(len(paths) // 10, 1)
        train = 2 * tenth if len(paths) > 2 else tenth
        splits = {"train": paths[train:], "validation": paths[tenth:train], "test": paths[:tenth]}
        counts = ", ".join(f"{len(part)} {split}" for split, part in splits.items())
        logger.info("%s: %d documents split by a fixed shuffle of their names: %s", folder, len(paths), counts)
    for split in ("train", "test"):
        if not splits[split]:
            raise UserError(f"{folder / FOLDERS[split]} has no document; put NAME.txt and NAME.ann there")
    return {split: sorted(part) for split, part in splits.items() if part}


def _texts(folder: Path) -> list[Path]:
    """The documents of a folder by name. One that lacks its `.txt` or `.ann` is refused when it is read."""
    found = {path.with_suffix(".txt") for path in folder.glob("[!.]*.*") if path.suffix in (".txt", ".ann")}
    return sorted(found, key=lambda path: path.stem)


def _entities(path: Path, types: Mapping[str, str] | None) -> list[Entity]:
    entities = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        line, place = line.removesuffix("\r"), f"{path}:{number}"
        if not line.startswith("T"):
            continue  # relations, events, attributes, notes
        match = ENTITY.fullmatch(line)
        if not match:
            raise UserError(f"{place}: expected `T1<TAB>TYPE START END<TAB>SURFACE`, got {line!r}")
        if types is not None and match[1] not in types:
            raise UserError(f"{place}: unknown entity type {match[1]!r}; known are {', '.join(types)}")
        pieces = [tuple(map(int, piece.split(" "))) for piece in match[2].split(";")]
        entities.append(Entity(place, match[1], pieces, match[3]))
    return entities


def _annotated(text: str, entities: list[Entity]) -> tuple[str, list[Entity], str]:
    """The text that the entities were marked in, the entities with offsets in characters, and what they counted.

    The text is as it is, or with the CRs that copies lose and offsets count. Offsets may count another unit, or a byte
    order mark. Raises UserError with the first entity that does not fit.
    """
    for candidate in (text, re.sub(r"(?<!\r)\n", "\r\n", text)):
        for unit, width in UNITS.items():
            for mark in ("", "\ufeff"):
                offsets = accumulate(map(width, candidate), initial=len(mark) and width(mark))
                index = {offset: position for position, offset in enumerate(offsets)}
                try:
                    found = [entity.moved(index) for entity in entities]
                except KeyError:
                    continue
                if all(entity.fits(candidate) for entity in found):
                    return candidate, found, unit + " and a byte order mark" * len(mark)
    line, _, pieces, surface = next(entity for entity in entities if not entity.fits(text))
    (start, _), (_, end) = pieces[0], pieces[-1]
    raise UserError(
        f"{line}: the text of {len(text):,} characters has {text[start:end]!r} at {start} {end} and not "
        f"{surface!r}; give the `.txt` file with the line ends it was annotated with, or correct the line"
    )
