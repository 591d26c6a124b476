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
        selects="f1",
    )


def tags(types: int = 3) -> tuple[str, ...]:
    """`O`, `B-PER`, `I-PER`, ...: every tag of so many types.

    Raises UserError unless these are 3 or 5.
    """
    if types not in TYPES:
        raise UserError(f"there are no {types} entity types: ask for {' or '.join(map(str, TYPES))}")
    return bio_tags(TYPES[types])


def read(data_dir: str, types: int = 3) -> dict[str, list[dict]]:
    """The rows of `train`, `test`, and, where there is one, `validation`.

    A row is a sentence, of brat files a document: `id`, `text`, `words` as [start, end] in the text, `tags`.
    data_dir: a folder with train.txt, test.txt, and perhaps valid.txt, or with brat documents, or a Hub id.
    types: 3, or 5 to tell GEOPOLIT from LOC and MEDIA from ORG.

    Raises UserError for what is missing and with the file and line of what is wrong.
    """
    wanted = tags(types)
    read_as = {kind: kind if f"B-{kind}" in wanted else COARSER[kind] for kind in TYPES[5]}
    folder = local_folder(data_dir, "collection3", HUB, *FILES.values(), "or brat documents")
    if folder is None:
        return _from_hub(data_dir, read_as)
    if brat.is_brat(folder):
        return brat.read(folder, read_as)
    if not any(folder.glob("*.txt*")):
        raise UserError(f"`data_dir` {data_dir!r} has neither {', '.join(FILES.values())} nor brat documents")
    return _from_conll(folder, read_as)


def write(folder: str | Path, rows: Sequence[dict], predictions: Sequence[Sequence[str]]) -> Path:
    """Write `test_predictions.txt`, the words of rows with the predicted tags, in CoNLL form."""
    return conll.write(Path(folder, "test_predictions.txt"), rows, predictions)


def _from_conll(folder: Path, types: Mapping[str, str]) -> dict[str, list[dict]]:
    splits = {split: name for split, name in FILES.items() if split != "validation" or has(folder, name)}
    paths = find(folder, *splits.values())
    return {split: conll.read(path, split, types) for split, path in zip(splits, paths, strict=True)}


def _from_hub(name: str, types: Mapping[str, str]) -> dict[str, list[dict]]:
    loaded = load_from_hub(name, ("tokens", "ner_tags"))
    for split in ("train", "test"):
        if split not in loaded:
            raise UserError(f"`data_dir` {name!r} has no split {split!r}, only {', '.join(loaded)}")
    return {split: _hub_rows(name, split, loaded[split], types) for split in FILES if split in loaded}


def _hub_rows(name: str, split: str, table: "Dataset", types: Mapping[str, str]) -> list[dict]:
    feature = getattr(table.features["ner_tags"], "feature", None)
    names, known = getattr(feature, "names", None), set(bio_tags(types))
    rows = []
    for index, example in enumerate(table):
        tokens = example["tokens"]
        read = [names[tag] if names and isinstance(tag, int) else tag for tag in example["ner_tags"]]
        place = f"`data_dir` {name!r}, row {index} of {split}"
        if len(read) != len(tokens) or not all(tokens):
            raise UserError(f"{place}: expected a tag for each token and no empty token, got {tokens} and {read}")
        for tag in read:
            if tag not in known:
                raise UserError(f"{place}: unknown tag {tag!r}; known are {', '.join(sorted(known))}")
        rows.append(conll.row(f"{split}-{index}", tokens, read, types))
    return rows
