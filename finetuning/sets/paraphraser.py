"""ParaPhraser: pairs of headlines in XML files, each a strict paraphrase, a loose one, or none."""

import functools
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.parsers import expat

from distillation.config.command_line import key
from distillation.config.errors import UserError
from finetuning.formats.locate import find, load_from_hub, local_folder, read_text

if TYPE_CHECKING:
    from finetuning.tasks.classification import TextClassification

HUB = "merionum/ru_paraphraser"
FILES = ("paraphrases.xml", "paraphrases_gold.xml")
FIELDS = ("id", "text_1", "text_2", "class")
# By the number of classes: its labels, and the label of each class of the files.
LABELS = {
    2: ("not paraphrase", "paraphrase"),
    3: ("not paraphrase", "loose paraphrase", "strict paraphrase"),
}
_LABEL_OF = {
    2: {"-1": "not paraphrase", "0": "paraphrase", "1": "paraphrase"},
    3: {"-1": "not paraphrase", "0": "loose paraphrase", "1": "strict paraphrase"},
}
_CLASS_OF = {"not paraphrase": "-1", "loose paraphrase": "0", "strict paraphrase": "1", "paraphrase": "1"}


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
        selects=f1,
    )


def read(data_dir: str, classes: int = 2) -> dict[str, list[dict]]:
    """The splits "train" and "test", rows of `id`, `text`, `text_2`, and `label`, one of LABELS[classes].

    data_dir: a folder with FILES, or a Hub id such as HUB.
    classes: 3, or 2, where loose and strict paraphrases are one class.

    Raises UserError for other numbers of classes, a missing file, and what is damaged or wrong in one, by its line.
    """
    if classes not in LABELS:
        raise UserError(f"`classes` is {classes}; choose 2 or 3")
    folder = local_folder(data_dir, "paraphraser", HUB, *FILES)
    if folder is None:
        splits = load_from_hub(data_dir, FIELDS, ("train", "test"))
        return {split: _rows(*_from_hub(f"{data_dir} ({split})", rows), classes) for split, rows in splits.items()}
    train, test = find(folder, *FILES)
    return {"train": _rows(*_from_file(train), classes), "test": _rows(*_from_file(test), classes)}


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[str]) -> Path:
    """Write `test_predictions.xml` in the layout of the gold file, with the predicted class of each pair.

    Of three classes they are -1, 0 and 1; of two, -1 and 1, where 1 stands for paraphrases of both kinds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = ElementTree.Element("data")
    corpus = ElementTree.SubElement(data, "corpus")
    for row, label in zip(rows, predictions, strict=True):
        item = ElementTree.SubElement(corpus, "paraphrase")
        for name, value in zip(FIELDS, (row["id"], row["text"], row["text_2"], _CLASS_OF[label]), strict=True):
            ElementTree.SubElement(item, "value", name=name).text = value
    ElementTree.indent(data)
    path = folder / "test_predictions.xml"
    ElementTree.ElementTree(data).write(path, encoding="UTF-8", xml_declaration=True)
    return path


def _rows(name: str, items: Iterable[tuple[str, dict]], classes: int) -> list[dict]:
    """Rows of one split.

    name: the file, or the split on the Hub, that the items come from.
    items: the place of each, to be named in errors, and its values by name.
    """
    rows, seen = [], set()
    for place, item in items:
        values = {field: str(value).strip() for field, value in item.items() if value is not None}
        missing = [field for field in FIELDS if not values.get(field)]
        if missing:
            raise UserError(f"{place}: the pair has no `{missing[0]}`; fill it in or delete the pair")
        if values["class"] not in _CLASS_OF.values():
            raise UserError(f"{place}: class {values['class']!r} is none of -1, 0, 1; mend the pair")
        if values["id"] in seen:
            raise UserError(f"{place}: id {values['id']} stands on an earlier pair, too; delete one of them")
        seen.add(values["id"])
        label = _LABEL_OF[classes][values["class"]]
        rows.append({"id": values["id"], "text": values["text_1"], "text_2": values["text_2"], "label": label})
    if not rows:
        raise UserError(f"{name}:1: no pairs; a whole file has some, so fetch it again")
    return rows


def _from_hub(name: str, rows: Iterable[dict]) -> tuple[str, Iterable[tuple[str, dict]]]:
    return name, ((f"{name}, row {number}", row) for number, row in enumerate(rows))


def _from_file(path: Path) -> tuple[str, list[tuple[str, dict]]]:
    """The file's name and its items: the line that each `<paraphrase>` begins on, and its values.

    Raises UserError by the line where the XML is broken or ends early.
    """
    items: list[tuple[str, dict]] = []
    field = None
    # The files declare the encoding `UTF8`, which expat does not know. One that is given here comes before it.
    parser = expat.ParserCreate("utf-8")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal field
        if tag == "paraphrase":
            items.append((f"{path}:{parser.CurrentLineNumber}", {}))
        elif tag == "value" and items:
            field = attributes.get("name", "")
            items[-1][1][field] = ""

    def text(content: str) -> None:
        if field is not None:
            items[-1][1][field] += content

    def end(tag: str) -> None:
        nonlocal field
        field = None

    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, text, end
    try:
        parser.Parse(read_text(path), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise UserError(f"{path}:{error.lineno}: broken XML ({reason}); mend it or fetch the file again") from None
    return str(path), items
