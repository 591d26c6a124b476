"""Collection3 and Collection5: persons, organisations, and places in news, as CoNLL files, brat documents, or from the
Hub."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from distillation.config.command_line import key
from distillation.config.errors import UserError
from finetuning.formats import brat, conll
from finetuning.formats.locate import find, has, load_from_hub, local_folder
from finetuning.tasks.bio_spans import bio_tags

if TYPE_CHECKING:
    from datasets import Dataset

    from finetuning.tasks.tagging import Tagging

HUB = "RCC-MSU/collection3"
FILES = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}
TYPES = {3: ("PER", "ORG", "LOC"), 5: ("PER", "ORG", "LOC", "GEOPOLIT", "MEDIA")}
COARSER = {"GEOPOLIT": "LOC", "MEDIA": "ORG"}  # how the three types follow from the five


@dataclass
class Options:
    """Which entities."""

    entity_types: Literal[3, 5] = key(
        3, "3: PER, ORG, LOC, the benchmark. 5: GEOPOLIT and MEDIA apart from LOC and ORG."
    )


def task(options: Options) -> "Tagging":
    """Collection-3. Its metric is F1 of whole entities."""
    from finetuning.metrics import EntityScores
    from finetuning.tasks.tagging import Tagging

    return Tagging(
        name="collection3",
        labels=tags(options.entity_types),
        read=functools.partial(read, types=options.entity_types),
        write=write,
        metric=EntityScores(TYPES[options.entity_types]),
        primary_metric="f1",
    )


def tags(types: int = 3) -> tuple[str, ...]:
    """`O`, `B-PER`, `I-PER`, ...: every tag of so many types."""
    return bio_tags(TYPES[types])


def read(data_dir: str, types: int = 3) -> dict[str, list[dict]]:
    """The rows of `train`, `test`, and, where there is one, `validation`.

    A row is a sentence, of brat files a document: `id`, `text`, `words` as [start, end] in the text, `tags`.
    data_dir: a folder with train.txt, test.txt, and perhaps valid.txt, or with brat documents, or a Hub id.
    types: 3, or 5 to tell GEOPOLIT from LOC and MEDIA from ORG.
    Raises UserError for what is missing and with the file and line, or row, of what is wrong.
    """
    read_as = {kind: kind if kind in TYPES[types] else COARSER[kind] for kind in TYPES[5]}
    folder = local_folder(data_dir, "collection3", HUB, *FILES.values(), "or brat documents")
    if folder is None:
        splits = load_from_hub(data_dir, ("tokens", "ner_tags"), ("train", "test"))
        return {
            part: _hub_rows(f"{data_dir} ({part})", part, splits[part], read_as) for part in FILES if part in splits
        }
    if brat.is_brat(folder):
        return brat.read(folder, read_as)
    files = {split: name for split, name in FILES.items() if split != "validation" or has(folder, name)}
    paths = find(folder, *files.values())
    return {split: conll.read(path, split, read_as) for split, path in zip(files, paths, strict=True)}


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[Sequence[str]]) -> Path:
    """Write `test_predictions.txt`, the words of rows with the predicted tags, in CoNLL form."""
    return conll.write(folder / "test_predictions.txt", rows, predictions)


def _hub_rows(name: str, part: str, table: "Dataset", types: Mapping[str, str]) -> list[dict]:
    """Rows of one split, whose tags are texts or the numbers of named ones."""
    names = getattr(getattr(table.features["ner_tags"], "feature", None), "names", None)
    known, rows = bio_tags(types), []
    for number, raw in enumerate(table):
        tags = [names[tag] if names else tag for tag in raw["ner_tags"]]
        unknown = [tag for tag in tags if tag not in known]
        if unknown:
            raise UserError(f"{name}, row {number}: unknown tag {unknown[0]!r}; known are {', '.join(known)}")
        rows.append(conll.row(f"{part}-{number}", raw["tokens"], tags, types))
    return rows
