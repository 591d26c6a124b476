"""Collection3 and Collection5: persons, organisations, and places in news."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from distillation.config.command_line import key
from finetuning.formats import brat, conll
from finetuning.formats.locate import find, from_hub, local_folder
from finetuning.tasks.bio_spans import bio_tags

if TYPE_CHECKING:
    from finetuning.tasks.tagging import Tagging

HUB = "RCC-MSU/collection3"
FILES = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}
TYPES = {3: ("PER", "ORG", "LOC"), 5: ("PER", "ORG", "LOC", "GEOPOLIT", "MEDIA")}
COARSER = {"GEOPOLIT": "LOC", "MEDIA": "ORG"}  # how the three types follow from the five


@dataclass
class Options:
    """Which entities."""

    entity_types: Literal[3, 5] = key(3, "3: PER, ORG, LOC, the benchmark. 5: GEOPOLIT and MEDIA are types, too.")


def task(options: Options) -> "Tagging":
    """Collection-3. Its metric is F1 of whole entities."""
    from finetuning.metrics import EntityScores
    from finetuning.tasks.tagging import Tagging

    return Tagging(
        name="collection3",
        labels=bio_tags(TYPES[options.entity_types]),
        read=functools.partial(read, types=options.entity_types),
        write=conll.write,
        metric=EntityScores(TYPES[options.entity_types]),
        primary_metric="f1",
    )


def read(data_dir: str, types: int = 3) -> dict[str, list[dict]]:
    """The rows of `train`, `test`, and, where there is one, `validation`.

    A row is a sentence, of brat files a document: `id`, `text`, `words` as [start, end] in the text, `tags`.
    data_dir: a folder with FILES, of which valid.txt may be absent, or with brat documents, or a Hub id.
    types: 3, or 5 to tell GEOPOLIT from LOC and MEDIA from ORG.
    Raises UserError for what is missing and with the file and line, or row, of what is wrong.
    """
    read_as = {kind: kind if kind in TYPES[types] else COARSER[kind] for kind in TYPES[5]}
    folder = local_folder(data_dir, "collection3", HUB, *FILES.values(), "or brat documents")
    if folder is not None and brat.is_brat(folder):
        return brat.read(folder, read_as)
    if folder is None:
        sources = from_hub(data_dir, {part: part for part in FILES})
    else:
        sources = {part: (str(path), conll.sentences(path)) for part, path in find(folder, FILES).items()}
    return {part: conll.rows(part, *source, read_as) for part, source in sources.items()}
