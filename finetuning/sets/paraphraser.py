"""ParaPhraser: pairs of headlines in XML files, each a strict paraphrase, a loose one, or none."""

import functools
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distillation.config.command_line import key
from distillation.config.errors import UserError
from distillation.runs.files import write_text
from finetuning.formats.locate import find, from_hub, local_folder, read_text
from finetuning.formats.values import Wrong, collect, value

if TYPE_CHECKING:
    from finetuning.tasks.classification import TextClassification

HUB = "merionum/ru_paraphraser"
FILES = ("paraphrases.xml", "paraphrases_gold.xml")  # of the parts
PARTS = ("train", "test")
FIELDS = ("id", "text_1", "text_2", "class")
# By the number of classes: what the classes of the files are called.
NAMES = {
    2: {"-1": "not paraphrase", "0": "paraphrase", "1": "paraphrase"},
    3: {"-1": "not paraphrase", "0": "loose paraphrase", "1": "strict paraphrase"},
}
LABELS = {classes: tuple(dict.fromkeys(names.values())) for classes, names in NAMES.items()}


@dataclass
class Options:
    """Which of the two tasks."""

    classes: Literal[2, 3] = key(2, "2: paraphrase or not. 3: strict, loose, or no paraphrase.")


def task(options: Options) -> "TextClassification":
    """ParaPhraser. Both of its tasks count accuracy; besides, two classes F1 of paraphrases, three macro F1."""
    from finetuning.metrics import LabelScores
    from finetuning.tasks.classification import TextClassification

    labels, f1 = LABELS[options.classes], "f1" if options.classes == 2 else "f1_macro"
    return TextClassification(
        name="paraphraser",
        labels=labels,
        read=functools.partial(read, classes=options.classes),
        write=write,
        metric=LabelScores(labels, "accuracy", f1),
        primary_metric=f1,
    )


def read(data_dir: str, classes: int = 2) -> dict[str, list[dict]]:
    """The splits "train" and "test", rows of `id`, `text`, `text_2`, and `label`, one of LABELS[classes].

    data_dir: a folder with FILES, or a Hub id such as HUB.
    classes: 3, or 2, where loose and strict paraphrases are one class.
    Raises UserError for a missing file, one that is no XML, and a pair that is wrong, by its id.
    """
    folder = local_folder(data_dir, "paraphraser", HUB, *FILES)
    if folder is None:
        sources = from_hub(data_dir, dict(zip(PARTS, PARTS, strict=True)))
    else:
        files = find(folder, dict(zip(PARTS, FILES, strict=True)))
        sources = {part: (str(path), _pairs(path)) for part, path in files.items()}
    make = functools.partial(_row, names=NAMES[classes])
    return {part: collect(*source, make) for part, source in sources.items()}


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[str]) -> Path:
    """Write `test_predictions.xml` in the layout of the gold file, with the predicted class of each pair: -1, 0, or 1,
    of two classes -1 or 1, which stands for paraphrases of both kinds."""
    classes = {name: number for names in NAMES.values() for number, name in names.items()}
    data = ElementTree.Element("data")
    corpus = ElementTree.SubElement(data, "corpus")
    for row, label in zip(rows, predictions, strict=True):
        item = ElementTree.SubElement(corpus, "paraphrase")
        for name, text in zip(FIELDS, (row["id"], row["text"], row["text_2"], classes[label]), strict=True):
            ElementTree.SubElement(item, "value", name=name).text = text
    ElementTree.indent(data)
    path = folder / "test_predictions.xml"
    write_text(path, ElementTree.tostring(data, "UTF-8", xml_declaration=True).decode())
    return path


def _pairs(path: Path) -> Iterator[tuple[str, dict]]:
    """The place of each pair of a file, by its id or number, and its values. Raises UserError for broken XML."""
    try:
        # As text: the files declare the encoding `UTF8`, which the parser does not know.
        root = ElementTree.fromstring(read_text(path))
    except ElementTree.ParseError as error:
        raise UserError(f"{path}: broken XML ({error}); mend it or fetch the file again") from None
    for number, item in enumerate(root.iter("paraphrase"), start=1):
        values = {value.get("name"): "".join(value.itertext()) for value in item.iter("value")}
        yield f"{path}: pair {values.get('id') or number}", values


def _row(raw: Mapping[str, Any], names: Mapping[str, str]) -> list[dict]:
    values = [str(value(raw, field, str | int)).strip() for field in FIELDS]
    if "" in values:
        raise Wrong(f"no `{FIELDS[values.index('')]}`; fill it in or delete the pair")
    key, text, text_2, number = values
    if number not in names:
        raise Wrong(f"class {number!r} is none of {', '.join(names)}; mend the pair")
    return [{"id": key, "text": text, "text_2": text_2, "label": names[number]}]
