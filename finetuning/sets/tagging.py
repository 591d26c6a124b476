"""One's own texts with entities of any types: CoNLL files, JSON lines with spans, or brat documents."""

import functools
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distillation.config.command_line import key
from distillation.config.errors import UserError
from finetuning.formats import brat, conll, spans, table
from finetuning.formats.locate import OWN_PARTS, OwnFiles, Source, from_hub
from finetuning.sets.classification import FEW
from finetuning.tasks.bio_spans import bio_tags

if TYPE_CHECKING:
    from finetuning.tasks.tagging import Tagging

logger = logging.getLogger(__name__)


@dataclass
class Options:
    """What a row of JSON or Parquet holds, and which entities."""

    text_column: str = key("text", "Key of the text, in JSON lines and Parquet.")
    spans_column: str | None = key(None, f"Key of the spans, else one of {', '.join(spans.NAMES)}.")
    labels: list[str] = key([], "All entity types, in the order that the model has them; those of train unless given.")

    def __post_init__(self):
        if len({*self.labels}) < len(self.labels):
            raise UserError(f"`labels` must differ, got {', '.join(self.labels)}")


def task(options: Options) -> "Tagging":
    """Entities of one's own types, which `adapted` finds unless they are given. The metric is F1 of whole entities."""
    from finetuning.metrics import EntityScores
    from finetuning.tasks.tagging import Tagging

    return Tagging(
        name="tagging",
        labels=bio_tags(options.labels) if options.labels else (),
        read=functools.partial(read, options=options),
        write=conll.write,
        metric=EntityScores(options.labels),
        primary_metric="f1",
    )


def check(source: OwnFiles, options: Options) -> None:
    """Raise UserError for a file of another format, before the libraries of training are loaded."""
    for path in filter(None, source):
        kind_of(Path(path))


def read(source: Source, options: Options) -> dict[str, list[dict]]:
    """The rows of each part, which `Tagging` describes.

    source: files that end in .jsonl or .parquet, folders of brat documents, or CoNLL files; a folder of brat documents
    in parts; a Hub id, or a folder that `datasets` reads. Raises UserError for what is wrong in one, by its line,
    for a train part without an entity, and for types that train lacks, by the rows.
    """
    if not isinstance(source, str):
        found = {part: _file(part, Path(path), options) for part, path in source._asdict().items() if path}
    elif brat.is_brat(Path(source)):
        found = brat.read(Path(source), None)
    else:
        raws = from_hub(source, OWN_PARTS, optional=("validation", "test"))
        found = {part: _rows(part, name, list(rows), options) for part, (name, rows) in raws.items()}
    counts = Counter(tag[2:] for row in found["train"] for tag in row["tags"] if tag.startswith("B-"))
    if not counts:
        place = f"`data_dir` {source!r}" if isinstance(source, str) else f"`train_file` {source.train!r}"
        raise UserError(f"{place} has no text with an entity to train on: give texts with some")
    shown = ", ".join(f"{kind} {count:,}" for kind, count in counts.most_common())
    logger.info("entities of train, and of what is set aside of it: %s", shown)
    if few := [kind for kind, count in counts.items() if count < FEW]:
        logger.warning("little can be learned of less than %d entities: %s", FEW, ", ".join(few[:20]))
    known = set(options.labels or counts)
    for part, rows in found.items():
        unknown = {row["id"]: kinds for row in rows if (kinds := {tag[2:] for tag in row["tags"]} - known - {""})}
        if unknown:
            first = "; ".join(f"{row}: {', '.join(sorted(kinds))}" for row, kinds in list(unknown.items())[:3])
            where = "`labels`" if options.labels else "train"
            raise UserError(f"{len(unknown)} rows of {part} have entity types that {where} lacks ({first}): mend them")
    return found


def _file(part: str, path: Path, options: Options) -> list[dict]:
    """The rows of a part, by what its file is."""
    kind = kind_of(path)
    if kind == "brat":
        return brat.documents(path, None, None)
    if kind == "table":
        return _rows(part, str(path), table.rows(path, {}), options)
    return conll.rows(part, str(path), conll.sentences(path), None)


def kind_of(path: Path) -> Literal["brat", "table", "conll"]:
    """What a file or folder is. Raises UserError for a format that has no entities."""
    if path.is_dir():
        return "brat"
    from distillation.text.files import format_of  # its libraries take a while

    form = format_of(path)
    if path.suffix.lower() == ".ann":
        raise UserError(f"{path}: name the folder of the documents, in which each .ann has its .txt")
    if path.suffix.lower() == ".json":
        raise UserError(f"{path}: write an object a line (.jsonl), with a text and its spans, or export CoNLL")
    if form == ".csv":
        raise UserError(f"{path}: a CSV file has no entities: name texts with spans (.jsonl, .parquet), or CoNLL")
    return "table" if form in (".jsonl", ".parquet") else "conll"


def _rows(part: str, name: str, raws: Iterable[tuple[str, Any]], options: Options) -> list[dict]:
    """The rows of texts with spans, or, as sets on the Hub have it, of tokens with tags."""
    raws = list(raws)
    if raws and options.spans_column is None and {"tokens", "ner_tags"} <= raws[0][1].keys():
        return conll.rows(part, name, raws, None)
    keys = {options.text_column: "text_column", options.spans_column: "spans_column"}
    known = list(dict.fromkeys(column for _, cells in raws for column in cells))  # rows may lack some
    if raws:
        table.check_columns({column: key for column, key in keys.items() if column}, known, name)
    return spans.rows(name, raws, options.text_column, options.spans_column)
