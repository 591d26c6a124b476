"""Seals of checkpoints: written last, they tell a whole one from one whose writing was cut short."""

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

SEAL = "checkpoint.json"  # of every other file its size and checksum


def seal(folder: Path) -> None:
    """Say that a checkpoint is whole, once all of it is on the disk."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        _to_disk(path)
        files[str(path.relative_to(folder))] = _what_is_in(path)
    draft = folder / f"{SEAL}.part"
    draft.write_text(json.dumps(files, indent=2) + "\n", encoding="utf-8")
    _to_disk(draft)
    draft.replace(folder / SEAL)
    for changed in (folder, folder.parent):
        _to_disk(changed)


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint is sealed, and its files are those that were."""
    try:
        files = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return all(_what_is_in(folder / name, size) == (size, checksum) for name, (size, checksum) in files.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def checkpoints(output_dir: str | Path) -> list[Path]:
    """The `checkpoint-N` of a run, the newest first."""
    folders = [folder for folder in Path(output_dir).glob("checkpoint-*") if folder.name.split("-")[-1].isdecimal()]
    return sorted(folders, key=lambda folder: int(folder.name.split("-")[-1]), reverse=True)


def whole_checkpoints(output_dir: str | Path) -> Iterator[Path]:
    """Those that are whole, the newest first."""
    return filter(is_whole, checkpoints(output_dir))


def rotate(newest: Path, best: str | None, limit: int | None) -> None:
    """Keep `limit` checkpoints of a run, all if None: the newest, which is sealed, the best, and what was sealed last.

    What is not sealed goes first: kept for its number, it would be all there is.
    """
    if not limit or limit < 0:
        return
    kept = {newest.name, Path(best or newest).name}
    others = [folder for folder in checkpoints(newest.parent) if folder.name not in kept]
    others.sort(key=_sealed_at, reverse=True)
    for folder in others[max(limit - len(kept), 0) :]:
        shutil.rmtree(folder, ignore_errors=True)


def _sealed_at(folder: Path) -> int:
    """A time, 0 for never."""
    try:
        return (folder / SEAL).stat().st_mtime_ns
    except OSError:
        return 0


def _what_is_in(path: Path, expected: int | None = None) -> tuple[int, int]:
    """The size and checksum of a file; a size that is not the one expected spares the reading."""
    size, checksum = path.stat().st_size, 0
    if expected in (None, size):
        with path.open("rb") as file:
            while block := file.read(2**20):
                checksum = zlib.crc32(block, checksum)
    return size, checksum


def _to_disk(path: Path) -> None:
    """A file, or what names a folder has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
