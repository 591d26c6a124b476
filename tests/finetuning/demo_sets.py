"""The demo's sets, cut to so few examples that a whole run takes a second or two."""

import csv
import gzip
import io
import json
import re
from pathlib import Path

from finetuning.formats.locate import DEMO_FOLDER

TRAIN_FILES = ("rusentiment_", "paraphrases.xml", "train")  # how the names of training files begin


def small_demo(name: str, folder: Path, train: int = 80, test: int = 24) -> Path:
    """A copy of a set under `folder` with the first examples of each file, not packed."""
    for path in sorted((DEMO_FOLDER / name).rglob("*.gz")):
        copy = folder / name / path.relative_to(DEMO_FOLDER / name).with_suffix("")
        is_train = copy.name.startswith(TRAIN_FILES) and copy.name != "rusentiment_test.csv"
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = CUTS[copy.suffix](gzip.decompress(path.read_bytes()).decode(), train if is_train else test)
        copy.write_text(text, encoding="utf-8", newline="")
    return folder / name


def _rows(text: str, number: int) -> str:
    """CSV with a header."""
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        list(csv.reader(io.StringIO(text, newline="")))[: number + 1]
    )
    return file.getvalue()


def _pairs(text: str, number: int) -> str:
    begin, *pairs = re.split(r"(?=    <paraphrase>)", text.removesuffix("  </corpus>\n</data>\n"))
    return "".join([begin, *pairs[:number], "  </corpus>\n</data>\n"])


def _sentences(text: str, number: int) -> str:
    sentences = [one for one in text.split("\n\n") if one.strip() and one != "<DOCSTART>"]
    return "".join(f"{one}\n\n" for one in sentences[:number])


def _questions(text: str, number: int) -> str:
    content = json.loads(text)
    for paragraph in content["data"][0]["paragraphs"]:
        paragraph["qas"] = paragraph["qas"][:number]
        number -= len(paragraph["qas"])
    content["data"][0]["paragraphs"] = [one for one in content["data"][0]["paragraphs"] if one["qas"]]
    return json.dumps(content, ensure_ascii=False, indent=1)


def _lines(text: str, number: int) -> str:
    return "".join(text.splitlines(keepends=True)[:number])


CUTS = {".csv": _rows, ".xml": _pairs, ".txt": _sentences, ".json": _questions, ".jsonl": _lines}
