"""Every task is read from its own files and from the Hub to the same rows, whatever the quirks of a file."""

import copy
import json
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Value

from distillation.config.errors import UserError
from finetuning.russian_superglue.readers import HUB, read
from finetuning.russian_superglue.tasks import LABELS, NAMES

# By task: a line of its files, that line in a test file, its row on the Hub, and the row that is made of each.
EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
LINES = {task: example["line"] for task, example in EXAMPLES.items()}
ROWS = {task: example["row"] for task, example in EXAMPLES.items()}


def file(*lines):
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def folder(path, task, train=None, val=None, test=None):
    """An official folder of one task; what is a list of lines becomes JSON Lines, a string stands as it is."""
    contents = {"train": train or [LINES[task]], "val": val or [LINES[task]]} | ({"test": test} if test else {})
    if task == "lidirus":
        folder(path, "terra")
        contents = {"LiDiRus": contents["val"]}
    (path / NAMES[task]).mkdir(exist_ok=True)
    for name, content in contents.items():
        text = content if isinstance(content, str) else file(*content)
        (path / NAMES[task] / f"{name}.jsonl").write_bytes(text.encode())
    return str(path)


def parts_of(task):
    """What is reported as test is the official validation part: the official test part has no labels."""
    if task == "lidirus":
        return {"train": [ROWS["terra"]], "test": [ROWS[task]], "submission": [ROWS[task]]}
    hidden = {"label": None} | ({"answers": []} if task == "rucos" else {})
    return {"train": [ROWS[task]], "test": [ROWS[task]], "submission": [ROWS[task] | hidden]}


@pytest.mark.parametrize("task", NAMES)
def test_parts(tmp_path, task):
    data_dir = folder(tmp_path, task, test=[EXAMPLES[task]["hidden"]])
    assert read(task, data_dir) == parts_of(task)
    if task != "lidirus":
        (tmp_path / NAMES[task] / "test.jsonl").unlink()
        assert set(read(task, data_dir)) == {"train", "test"}


def hub(task, row, names):
    hidden = row | ({"label": -1} if "label" in row else {"answers": []})
    splits = {"test": row} if task == "lidirus" else {"train": row, "validation": row, "test": hidden}
    made = DatasetDict({split: Dataset.from_list([content]) for split, content in splits.items()})
    for split in made if "label" in row else ():
        made[split] = made[split].cast_column("label", ClassLabel(names=names) if names else Value("int64"))
    if task == "rucos":
        made["test"] = made["test"].cast(made["train"].features)
    return made


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("task", NAMES)
def test_the_hub_gives_the_same_rows(monkeypatch, task, named):
    """Its labels are numbers with names, -1 where there is none; nested keys stand side by side."""
    asked = []

    def load(name, config):
        asked.append(config)
        names = {"parus": ["choice1", "choice2"]}.get(config, list(LABELS[config]))
        if LABELS[config] == ("false", "true") or config == "muserc":
            names = ["False", "True"]
        return hub(config, EXAMPLES[config]["hub"], names if named else None)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert read(task, HUB) == parts_of(task)
    assert asked == [task] + ["terra"] * (task == "lidirus")


def test_the_hub_may_number_labels_otherwise(monkeypatch):
    """The names say what a number means; our own order would turn every answer round."""
    row = EXAMPLES["terra"]["hub"] | {"label": 1}
    monkeypatch.setattr(datasets, "load_dataset", lambda *which: hub("terra", row, ["not_entailment", "entailment"]))
    assert read("terra", HUB)["train"] == [ROWS["terra"]]


QUIRKS = {
    "windows": lambda text: text.replace("\n", "\r\n"),
    "other keys first": lambda text: file(*(dict(reversed(json.loads(line).items())) for line in text.splitlines())),
    "idx as text": lambda text: text.replace('"idx": 7', '"idx": "7"'),
    "idx as number": lambda text: text.replace('"idx": "7"', '"idx": 7'),
}


@pytest.mark.parametrize("task", NAMES)
@pytest.mark.parametrize("quirk", QUIRKS)
def test_quirks_of_the_files(tmp_path, task, quirk):
    """No row may be lost or changed by them."""
    other = json.loads(file(LINES[task]).replace('"idx": 7', '"idx": 8').replace('"idx": "7"', '"idx": "8"'))
    rows = read(task, folder(tmp_path, task, val=QUIRKS[quirk](file(LINES[task], other))))["test"]
    assert rows[0] == ROWS[task] and len(rows) == 2


def news(**keys):
    """A line of RuCoS with other keys of its passage or query."""
    line = copy.deepcopy(LINES["rucos"])
    for holder in (line["passage"], line["qas"][0]):
        holder.update({key: value for key, value in keys.items() if key in holder})
    return line


def muserc(*answers):
    """A line of MuSeRC with other answers."""
    line = copy.deepcopy(LINES["muserc"])
    line["passage"]["questions"][0]["answers"] = list(answers)
    return line


def test_a_row_for_every_answer(tmp_path):
    """A submission nests them again."""
    answers = [{"idx": 10 + number, "text": f"Ответ {number}", "label": number % 2} for number in range(3)]
    rows = read("muserc", folder(tmp_path, "muserc", val=[muserc(*answers)]))["test"]
    assert [(row["id"], row["label"]) for row in rows] == [("7-2-10", "0"), ("7-2-11", "1"), ("7-2-12", "0")]


def test_entities_and_answers(tmp_path):
    """Compared without space and punctuation; an answer that is no entity cannot be chosen; each query is a row."""
    places = ((2, 7), (15, 19), (15, 18), (18, 19), (400, 402), (-3, -1))  # the last ones hold no letter
    line = news(
        entities=[{"start": start, "end": end} for start, end in places],
        answers=[{"text": text} for text in ("кит.", "Кит", "Кит ")],
    )
    line["qas"].append(line["qas"][0] | {"idx": 3, "query": "@placeholder спал.", "answers": [{"text": "Лось"}]})
    first, second = read("rucos", folder(tmp_path, "rucos", val=[line]))["test"]
    assert first["choices"] == second["choices"] == ["Осло", "Кит."]
    assert (first["id"], first["idx"], first["answers"], first["label"]) == ("7-2", 7, ["кит."], 1)
    assert (second["id"], second["idx"], second["answers"], second["label"]) == ("7-3", 7, ["Лось"], None)
    assert second["query"] == "@placeholder спал."


WRONG = [
    ("terra", {"idx": None}, "no `idx`"),
    ("terra", {"premise": 5}, "`premise` is int and not str"),
    ("terra", {"label": None}, "no `label`"),
    ("terra", {"label": "neutral"}, "label 'neutral' is none of entailment, not_entailment; mend the row"),
    ("lidirus", {"label": None}, "no `label`"),
    ("danetqa", {"label": "yes"}, "label 'yes' is none of false, true"),
    ("parus", {"question": "why"}, "question 'why' is none of cause, effect"),
    ("russe", {"end2": None}, "no `end2`"),
    ("russe", {"sentence1": "..."}, "no word in the sentence '...'"),
    ("rwsd", {"target": None}, "no `target`"),
    ("rwsd", {"target": {"span1_text": "Том"}}, "no `span1_index`"),
    ("muserc", muserc({"idx": 3, "text": "Кот", "label": 2}), "label 2 is none of 0, 1"),
    ("muserc", muserc(*[{"idx": 3, "text": "Кот", "label": 1}] * 2), "id 7-2-3 stands on an"),
    ("rucos", news(query="Пел Кит."), "the query has no @placeholder; mend the query"),
    ("rucos", news(entities=[]), "no entity; fill in `entities`"),
    ("rucos", news(answers=[]), "no `answers`; fill them in"),
    ("rucos", {"qas": []}, "`qas` is empty"),
]


@pytest.mark.parametrize(("task", "keys", "message"), WRONG)
def test_wrong_rows_are_refused_by_line(tmp_path, task, keys, message):
    """A KeyError would name neither the file nor the row."""
    line = {key: value for key, value in (LINES[task] | keys).items() if value is not None}
    content = "\n" + file(line)
    name = NAMES[task] if task == "lidirus" else "val"
    with pytest.raises(UserError) as caught:
        read(task, folder(tmp_path, task, val=content))
    assert f"{name}.jsonl:2: {message}" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("task", NAMES)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{line}\n{cut}", ":2: broken JSON ("),
        ("{line}\r\n\r\n{line}\r\n", ":3: id 7"),
        ("\n", ": no rows; a complete file has some, so fetch it again"),
        ("{line}\n5\n", ":2: int and no object with"),
    ],
)
def test_damaged_files_are_refused_by_line(tmp_path, task, content, message):
    """A cut download would else be a smaller benchmark, and a row twice would count twice."""
    line = file(LINES[task]).strip()
    data_dir = folder(tmp_path, task, val=content.replace("{line}", line).replace("{cut}", line[: len(line) // 2]))
    name = NAMES[task] if task == "lidirus" else "val"
    with pytest.raises(UserError) as caught:
        read(task, data_dir)
    assert f"{name}.jsonl{message}" in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_folder_is_refused_with_the_files_looked_for(tmp_path):
    for task, files in (("terra", "TERRa/train.jsonl, TERRa/val.jsonl"), ("lidirus", "LiDiRus/LiDiRus.jsonl")):
        with pytest.raises(UserError, match=f"lacks {files.split(',')[0]}; looked for {files}"):
            read(task, str(tmp_path))
