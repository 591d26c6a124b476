"""brat stand-off documents: NAME.txt with the text, NAME.ann with the character spans of its entities."""

import logging
import random
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from distillation.config.errors import UserError
from finetuning.formats.locate import read_text
from finetuning.tasks.bio_spans import encode

logger = logging.getLogger(__name__)

FOLDERS = {"train": "train", "validation": "valid", "test": "test"}  # splits and where their documents may lie
WORD = re.compile(r"\w+|[^\w\s]")
ENTITY = re.compile(r"T\S*\t(\S+) (\d{1,9}) (\d{1,9})\t(.*)")


class Entity(NamedTuple):
    """One line of an `.ann` file; `line` is file:line."""

    line: str
    type: str
    start: int
    end: int
    surface: str

    def fits(self, text: str) -> bool:
        """Whether the surface stands where the line says, up to the kind of white space, and is not blank."""
        found = text[self.start : self.end].split()
        return self.end <= len(text) and bool(found) and found == self.surface.split()


def is_brat(folder: Path) -> bool:
    """Whether there are `.ann` files in the folder or in one of the folders of the splits."""
    return any(any(place.glob("*.ann")) for place in (folder, *(folder / name for name in FOLDERS.values())))


def read(folder: Path, types: Mapping[str, str]) -> dict[str, list[dict]]:
    """One row for each document, by split: of the folders train, valid (may be absent), and test, or 80 %, 10 %, and
    10 % of the documents of the folder itself.

    A row: `id`, the name; `text`, with its line ends; `words`, the spans of words and single signs; `tags`. An entity
    that begins or ends inside a word takes the whole word. types: the known entity types, each with the type to read
    it as.
    Raises UserError for a file without its partner and with the line of a wrong or misplaced entity.
    """
    rows: dict[str, list[dict]] = {}
    dropped = 0
    for split, paths in _documents(folder).items():
        rows[split] = []
        for path in paths:
            entities = _entities(path.with_suffix(".ann"), types)
            text = _annotated(read_text(path), entities)
            words = [list(match.span()) for match in WORD.finditer(text)]
            spans = _spans(entities, words, types)
            rows[split].append({"id": path.stem, "text": text, "words": words, "tags": encode(spans, len(words))})
            dropped += len(entities) - len(spans)
    if dropped:
        logger.info("%s: %d entities dropped, as they overlap longer ones", folder, dropped)
    return rows


def _documents(folder: Path) -> dict[str, list[Path]]:
    """The texts of each split."""
    paths = _texts(folder)
    if not any(folder.glob("*.ann")):
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
    found = {path.with_suffix(".txt") for path in folder.glob("*.*") if path.suffix in (".txt", ".ann")}
    return sorted(found, key=lambda path: path.stem)


def _entities(path: Path, types: Mapping[str, str]) -> list[Entity]:
    entities = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        line, place = line.removesuffix("\r"), f"{path}:{number}"
        if not line.startswith("T"):
            continue  # relations, events, attributes, notes
        match = ENTITY.fullmatch(line)
        if not match:
            remedy = "mark an entity of several pieces as one, with the text between them"
            raise UserError(f"{place}: expected `T1<TAB>TYPE START END<TAB>SURFACE`, got {line!r}; {remedy}")
        if match[1] not in types:
            raise UserError(f"{place}: unknown entity type {match[1]!r}; known are {', '.join(types)}")
        entities.append(Entity(place, match[1], int(match[2]), int(match[3]), match[4]))
    return entities


def _annotated(text: str, entities: list[Entity]) -> str:
    """The text that the entities were marked in: as it is, or with the CRs that copies lose and offsets count.
    Raises UserError with the first entity that does not fit.
    """
    for candidate in (text, re.sub(r"(?<!\r)\n", "\r\n", text)):
        if all(entity.fits(candidate) for entity in entities):
            return candidate
    line, _, start, end, surface = next(entity for entity in entities if not entity.fits(text))
    raise UserError(
        f"{line}: the text of {len(text):,} characters has {text[start:end]!r} at {start} {end} and not "
        f"{surface!r}; give the `.txt` file with the line ends it was annotated with, or correct the line"
    )


def _spans(entities: list[Entity], words: list[list[int]], types: Mapping[str, str]) -> list[tuple[str, int, int]]:
    """The entities as spans of words. Of those that share a word the longest stays, of equal ones the first."""
    starts, ends = [start for start, _ in words], [end for _, end in words]
    taken: set[int] = set()
    spans = []
    for entity in sorted(entities, key=lambda entity: entity.start - entity.end):  # the sort is stable
        first, after = bisect_right(ends, entity.start), bisect_left(starts, entity.end)
        if taken.isdisjoint(range(first, after)):
            taken.update(range(first, after))
            spans.append((types[entity.type], first, after))
    return spans
