"""The demo's sets, cut to so few examples that a complete run takes a second or two."""

import csv
import gzip
import io
import json
import re
from pathlib import Path

from finetuning.formats.locate import DEMO_FOLDER

TRAIN_FILES = ("rusentiment_random", "rusentiment_preselected", "paraphrases.xml", "train")


def small_demo(name: str, folder: Path, train: int = 80, test: int = 24) -> Path:
    """A copy of a set under `folder` with the first examples of each file, not packed."""
    for path in sorted((DEMO_FOLDER / name).rglob("*.gz")):
        copy = folder / name / path.relative_to(DEMO_FOLDER / name).with_suffix("")
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = gzip.decompress(path.read_bytes()).decode()
        text = first(copy.suffix, text, train if copy.name.startswith(TRAIN_FILES) else test)
        copy.write_text(text, encoding="utf-8", newline="")
    return folder / name


def first(suffix: str, text: str, number: int) -> str:
    if suffix == ".csv":
        rows, file = list(csv.reader(io.StringIO(text, newline=""))), io.StringIO(newline="")
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows[: number + 1])
        return file.getvalue()
    if suffix == ".xml":
        begin, *pairs = re.split(r"(?=    <paraphrase>)", text.removesuffix("  </corpus>\n</data>\n"))
        return "".join([begin, *pairs[:number], "  </corpus>\n</data>\n"])
    if suffix == ".txt":
        sentences = [one for one in text.split("\n\n") if one.strip() and one != "<DOCSTART>"]
        return "".join(f"{one}\n\n" for one in sentences[:number])
    if suffix == ".jsonl":
        return "".join(text.splitlines(keepends=True)[:number])
    content = json.loads(text)
    for paragraph in content["data"][0]["paragraphs"]:
        paragraph["qas"] = paragraph["qas"][:number]
        number -= len(paragraph["qas"])
    return json.dumps(content, ensure_ascii=False, indent=1)
