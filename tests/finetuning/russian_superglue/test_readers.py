"""Every task is read from its own files and from the Hub to the same rows, whatever the quirks of a file."""

import copy
import json
import re
from pathlib import Path

import datasets
import pytest
from datasets import Dataset

from distillation.config.errors import UserError
from finetuning.russian_superglue.readers import HUB, read
from finetuning.russian_superglue.tasks import NAMES

# By task: a line of its files, that line in a test file, its row on the Hub, and the row that is made of each.
EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
LINES = {task: example["line"] for task, example in EXAMPLES.items()}
ROWS = {task: example["row"] for task, example in EXAMPLES.items()}


def file(*lines):
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def folder(path, task, val=None, test=None):
    """An official folder of one task; `val` and `test` are lines, or the text of a file."""
    contents = {"train": [LINES[task]], "val": val or [LINES[task]]} | ({"test": test} if test else {})
    if task == "lidirus":
        folder(path, "terra")
        contents = {"LiDiRus": contents["val"]}
    (path / NAMES[task]).mkdir(exist_ok=True)
    for name, content in contents.items():
        text = content if isinstance(content, str) else file(*content)
        (path / NAMES[task] / f"{name}.jsonl").write_bytes(text.encode())
    return str(path)


@pytest.mark.parametrize("task", NAMES)
def test_files_and_the_hub_give_the_same_rows(tmp_path, monkeypatch, task):
    """The part "test" is the official validation part. The Hub has keys side by side, and -1 where no label is."""
    row, configs = ROWS[task], []
    hidden = row if task == "lidirus" else row | {"label": None} | ({"answers": []} if task == "rucos" else {})
    parts = {"train": [ROWS["terra"] if task == "lidirus" else row], "test": [row], "submission": [hidden]}

    def load(name, config):
        configs.append(config)
        row = EXAMPLES[config]["hub"]
        hidden = row | ({"answers": []} if config == "rucos" else {"label": -1})
        tables = {split: Dataset.from_list([row]) for split in ("train", "validation", "test")}
        if config != "lidirus":
            tables["test"] = Dataset.from_list([hidden], features=tables["train"].features)
        return tables

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert read(task, HUB) == parts == read(task, folder(tmp_path, task, test=[EXAMPLES[task]["hidden"]]))
    assert configs == [task] + ["terra"] * (task == "lidirus")
    if task != "lidirus":
        (tmp_path / NAMES[task] / "test.jsonl").unlink()
        assert set(read(task, str(tmp_path))) == {"train", "test"}


@pytest.mark.parametrize("task", NAMES)
def test_quirks_of_the_files(tmp_path, task):
    """Line ends of Windows, and an `idx` that is a text or a number."""
    line = file(LINES[task])
    for before, after in (("\n", "\r\n"), ('"idx": 7', '"idx": "7"'), ('"idx": "7"', '"idx": 7')):
        lines = line + line.replace('"idx": 7', '"idx": 8').replace('"idx": "7"', '"idx": "8"')
        rows = read(task, folder(tmp_path, task, val=lines.replace(before, after)))["test"]
        assert rows[0] == ROWS[task] and len(rows) == 2, after


def news(*places, **keys):
    line = copy.deepcopy(LINES["rucos"])
    line["qas"][0] |= keys
    if places:
        line["passage"]["entities"] = [{"start": start, "end": end} for start, end in places]
    return line


def muserc(*answers):
    line = copy.deepcopy(LINES["muserc"])
    answers = [{"idx": number, "text": "Кот", "label": label} for number, label in answers]
    line["passage"]["questions"][0]["answers"] = answers
    return line


def test_a_row_for_every_answer_and_query(tmp_path):
    """Entities are compared without space and punctuation; an answer that is no entity cannot be chosen."""
    rows = read("muserc", folder(tmp_path, "muserc", val=[muserc((10, 0), (11, 1), (12, 0))]))["test"]
    assert [(row["id"], row["label"]) for row in rows] == [("7-2-10", "0"), ("7-2-11", "1"), ("7-2-12", "0")]
    places = ((2, 7), (15, 19), (15, 18), (18, 19), (400, 402), (-3, -1))  # the last ones hold no letter
    line = news(*places, answers=[{"text": text} for text in ("кит.", "Кит", "Кит ")])
    line["qas"].append(line["qas"][0] | {"idx": 3, "query": "@placeholder спал.", "answers": [{"text": "Лось"}]})
    first, second = read("rucos", folder(tmp_path, "rucos", val=[line]))["test"]
    assert first["choices"] == second["choices"] == ["Осло", "Кит."]
    assert (first["id"], first["idx"], first["answers"], first["label"]) == ("7-2", 7, ["кит."], 1)
    assert second == first | {"id": "7-3", "query": "@placeholder спал.", "answers": ["Лось"], "label": None}


@pytest.mark.parametrize(
    ("places", "choices"),
    [
        (((2, 6), (15, 18), (38, 41)), ["Осло", "Кит", "США"]),  # `end` is behind the last character
        (((2, 5), (15, 17), (38, 40)), ["Осло", "Кит", "США"]),  # `end` is the last character, as in ReCoRD
        (((2, 5), (15, 18), (38, 41)), ["Осл", "Кит", "США"]),  # one that ends inside a word changes no other
    ],
)
def test_ends_of_entities_are_ends_of_words(tmp_path, places, choices):
    """Else each entity would lack its last letter, or no answer be among them, silently."""
    assert read("rucos", folder(tmp_path, "rucos", val=[news(*places)]))["test"][0]["choices"] == choices


@pytest.mark.parametrize(
    ("task", "keys", "message"),
    [
        ("terra", {"idx": None}, "no `idx` among premise, hypothesis, label; fill it in"),
        ("terra", {"label": None}, "label None is none of entailment, not_entailment"),
        ("parus", {"question": "why"}, "question 'why' is none of cause, effect"),
        ("russe", {"sentence1": "..."}, "no word in the sentence '...'"),
        ("muserc", muserc((3, 1), (3, 1)), "id 7-2-3 stands on an"),
        ("rucos", news(query="Пел Кит."), "the query has no @placeholder; mend the query"),
        ("rucos", news((18, 19)), "no entity; fill in `entities`"),
        ("rucos", news(answers=[]), "no `answers`; fill them in"),
    ],
)
def test_wrong_rows_are_refused_by_line(tmp_path, task, keys, message):
    line = {key: value for key, value in (LINES[task] | keys).items() if value is not None}
    with pytest.raises(UserError, match=rf"val\.jsonl:2: {re.escape(message)}"):
        read(task, folder(tmp_path, task, val="\n" + file(line)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{line}\n{"idx": 8, "prem', ":2: broken JSON ("),
        ("{line}\r\n\r\n{line}\r\n", ":3: id 7"),
        ("{line}\n5\n", ":2: int and no object with"),
    ],
)
def test_damaged_files_are_refused_by_line(tmp_path, content, message):
    """A cut download would else be a smaller benchmark, and a row twice would count twice."""
    for task in ("terra", "rucos", "muserc"):
        with pytest.raises(UserError, match=re.escape(f"val.jsonl{message}")):
            read(task, folder(tmp_path, task, val=content.replace("{line}", file(LINES[task]).strip())))
