"""The demo's Russian SuperGLUE: the official files of all nine tasks, small, with the quirks of the real ones."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from distillation.demo.resolve import demo_grammar
from finetuning.russian_superglue.demo_texts import Example, distinct
from finetuning.russian_superglue.tasks import NAMES

FILES = ("train", "val", "test")
SIZES = {"muserc": (40, 10, 5), "rucos": (150, 50, 25), "lidirus": (0, 100, 0)}  # lines; of the other tasks:
SIZE = (400, 100, 50)
CRLF = ("terra", "russe")


def write_demo(folder: Path) -> None:
    """A folder a task. Equal files every time."""
    for seed, task in enumerate(NAMES, start=11):
        sizes = SIZES.get(task, SIZE)
        examples = iter(distinct(demo_grammar(seed), task, sum(sizes)))
        (folder / NAMES[task]).mkdir(parents=True)
        for name, size in zip(FILES, sizes, strict=True):
            lines = _lines(task, name, list(itertools.islice(examples, size)))
            if lines:
                _write(folder / NAMES[task] / f"{NAMES[task] if task == 'lidirus' else name}.jsonl", task, lines)


def _write(path: Path, task: str, lines: Sequence[Example]) -> None:
    end = "\r\n" if task in CRLF else "\n"
    content = end.join(json.dumps(line, ensure_ascii=False) for line in lines)
    content += "" if task == "parus" and path.stem == "test" else end
    path.write_text(content, encoding="utf-8", newline="")


def _lines(task: str, name: str, examples: Sequence[Example]) -> list[Example]:
    if task == "muserc":
        return _passages(examples, hidden=name == "test")
    lines = [
        _news(idx, one) if task == "rucos" else {**one, "idx": str(idx) if task == "lidirus" else idx}
        for idx, one in enumerate(examples)
    ]
    if task == "rcb" and name == "train":
        lines[1]["no_negation"] = lines[1].pop("negation")
    for line in lines if task == "russe" else ():
        for end in ("end1", "end2"):
            line[end] += -1 if name == "test" else 1  # too short, or with what stands behind the word, if anything
    if name == "test":
        hidden = ("label", "gold_sense1", "gold_sense2")
        lines = [{key: value for key, value in line.items() if key not in hidden} for line in lines]
        for query in (query for line in lines for query in line.get("qas", ())):
            del query["answers"]
    return lines


def _news(idx: int, example: Example) -> Example:
    passage = {"text": example["text"], "entities": example["entities"]}
    return {
        "idx": idx,
        "passage": passage,
        "qas": [{"query": example["query"], "answers": example["answers"], "idx": idx}],
    }


def _passages(examples: Sequence[Example], hidden: bool) -> list[Example]:
    """Passages whose questions and answers are numbered over the file; every third stands in quotation marks."""
    questions, answers, lines = itertools.count(), itertools.count(), []
    for idx, example in enumerate(examples):
        nested = []
        for question, choices in example["questions"]:
            members = [
                {"idx": next(answers), "text": text} | ({} if hidden else {"label": label}) for text, label in choices
            ]
            nested.append({"question": question, "answers": members, "idx": next(questions)})
        text = f'"{example["text"]}"' if idx % 3 == 1 else example["text"]
        lines.append({"idx": idx, "passage": {"text": text, "questions": nested}})
    return lines
