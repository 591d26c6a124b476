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


def read_one(path, task, line=None, **keys):
    """The row that is made of a line, or of one with other keys than LINES has; None takes a key out."""
    line = line or {key: value for key, value in (LINES[task] | keys).items() if value is not None}
    return read(task, folder(path, task, val=[line]))["test"][0]


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


@pytest.mark.parametrize("task", NAMES)
@pytest.mark.parametrize("named", [True, False])
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


def test_an_unlabelled_row_of_the_hub_is_refused_where_labels_are_needed(monkeypatch):
    row = EXAMPLES["terra"]["hub"] | {"label": -1}
    monkeypatch.setattr(datasets, "load_dataset", lambda *which: hub("terra", row, ["entailment", "not_entailment"]))
    with pytest.raises(UserError, match=r"super_glue \(terra, train\), row 0: label -1 is none of entailment"):
        read("terra", HUB)


QUIRKS = {
    "windows": lambda text: text.replace("\n", "\r\n"),
    "no last line end": lambda text: text.removesuffix("\n"),
    "blank lines": lambda text: f"\n{text}\n\n",
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


def test_a_row_without_its_key_of_negation(tmp_path):
    """Two rows of the real training file have `no_negation` in its place."""
    assert read_one(tmp_path, "rcb", negation=None, no_negation="no_negation") == ROWS["rcb"]


def test_a_row_for_every_answer(tmp_path):
    """The numbers of questions and answers go on over the file, and a submission nests them again."""
    answers = [{"idx": 10 + n, "text": f"Ответ {n}", "label": n % 2} for n in range(5)]
    questions = [
        {"question": "Кто?", "answers": answers[:2], "idx": 4},
        {"question": "Где?", "answers": answers[2:], "idx": 5},
    ]
    line = {"idx": 1, "passage": {"text": "(1)Раз.(2)Два.", "questions": questions}}
    rows = read("muserc", folder(tmp_path, "muserc", val=[line]))["test"]
    assert [row["id"] for row in rows] == ["1-4-10", "1-4-11", "1-5-12", "1-5-13", "1-5-14"]
    assert [row["label"] for row in rows] == ["0", "1", "0", "1", "0"]
    assert {row["text_2"] for row in rows} == {"Раз. Два."}


def news(**keys):
    """A line of RuCoS with other keys of its passage or query."""
    line = copy.deepcopy(LINES["rucos"])
    for holder in (line["passage"], line["qas"][0]):
        holder.update({key: value for key, value in keys.items() if key in holder})
    return line


def test_ends_of_entities_may_be_their_last_character(tmp_path):
    """The loader of a sister task reads them so. One entity that fits the other way must not decide for a file."""
    line = news(entities=[{"start": s, "end": e} for s, e in ((2, 5), (15, 17), (31, 33), (38, 40))])
    other = news(entities=[{"start": 2, "end": 6}, {"start": 15, "end": 18}]) | {"idx": 8}
    rows = read("rucos", folder(tmp_path, "rucos", val=[line, other]))["test"]
    assert rows[0] == ROWS["rucos"]
    assert rows[1]["choices"] == ["Осло", "Кит."]  # as the file has it: the space is no part of it, the stop may be
    assert rows[1]["label"] == 1


@pytest.mark.parametrize(
    ("places", "choices"),
    [
        # With a space or a stop behind them they are as published, and they are compared without: one choice, not two.
        (((2, 7), (15, 19), (31, 34), (18, 19)), ["Осло", "Кит."]),
        (((-3, -1), (15, 18), (400, 402)), ["Кит"]),  # those outside the passage are left out
        (((2, 6), (15, 18), (31, 34), (38, 40)), ["Осло", "Кит", "СШ"]),  # one slip does not turn the reading of all
    ],
)
def test_entities_that_are_no_complete_words(tmp_path, places, choices):
    line = news(entities=[{"start": start, "end": end} for start, end in places])
    assert read_one(tmp_path, "rucos", line)["choices"] == choices


def test_right_answers(tmp_path):
    """The score takes the best of them; an answer that is no entity cannot be chosen."""
    texts = ["кит.", "Кит", "Кит "]
    line = news(answers=[{"start": 0, "end": 3, "text": text} for text in texts])
    row = read_one(tmp_path, "rucos", line)
    assert row["answers"] == ["кит."] and row["label"] == 1
    line = news(answers=[{"start": 0, "end": 3, "text": "Лось"}])
    row = read_one(tmp_path, "rucos", line)
    assert row["answers"] == ["Лось"] and row["label"] is None


def test_passages_with_several_queries(tmp_path):
    line = news()
    line["qas"].append(line["qas"][0] | {"idx": 3, "query": "@placeholder спал."})
    rows = read("rucos", folder(tmp_path, "rucos", val=[line]))["test"]
    assert [(row["id"], row["idx"]) for row in rows] == [("7-2", 7), ("7-3", 7)]
    assert [row["query"] for row in rows] == ["Пел @placeholder.", "@placeholder спал."]


def muserc(**keys):
    """A line of MuSeRC with other keys of its passage, question, or answer; None takes a key out."""
    line = copy.deepcopy(LINES["muserc"])
    question = line["passage"]["questions"][0]
    for key, value in keys.items():
        name, holder = key.split("_"), {"p": line["passage"], "q": question, "a": question["answers"][0]}
        holder[name[0]][name[1]] = value
        if value is None:
            del holder[name[0]][name[1]]
    return line


WRONG = [
    ("terra", {"hypothesis": None}, "no `hypothesis`; fill it in or delete the row"),
    ("terra", {"idx": None}, "no `idx`"),
    ("terra", {"idx": "x"}, "`idx` is str and not int"),
    ("terra", {"idx": True}, "`idx` is bool and not int"),
    ("terra", {"premise": 5}, "`premise` is int and not str"),
    ("terra", {"label": None}, "no `label`"),
    ("terra", {"label": "neutral"}, "label 'neutral' is none of entailment, not_entailment; mend the row"),
    ("terra", {"label": 2}, "label 2 is none of"),
    ("terra", {"label": -1}, "label -1 is none of"),
    ("terra", {"label": True}, "label True is none of"),
    ("rcb", {"label": "not_entailment"}, "label 'not_entailment' is none of entailment, contradiction, neutral"),
    ("lidirus", {"sentence1": None}, "no `sentence1`"),
    ("lidirus", {"label": None}, "no `label`"),
    ("danetqa", {"label": "yes"}, "label 'yes' is none of false, true"),
    ("danetqa", {"passage": None}, "no `passage`"),
    ("parus", {"question": "why"}, "question 'why' is none of cause, effect"),
    ("parus", {"choice2": None}, "no `choice2`"),
    ("parus", {"label": 2}, "label 2 is none of 0, 1"),
    ("russe", {"end2": None}, "no `end2`"),
    ("russe", {"sentence1": "..."}, "no word in the sentence '...'"),
    ("russe", {"label": 3}, "label 3 is none of false, true"),
    ("rwsd", {"target": None}, "no `target`"),
    ("rwsd", {"target": {"span1_text": "Том"}}, "no `span2_text`"),
    ("rwsd", {"target": [1]}, "`target` is list and not dict"),
    ("muserc", muserc(p_text=None), "no `text`"),
    ("muserc", muserc(p_questions=[]), "`questions` is empty"),
    ("muserc", muserc(q_answers=[]), "`answers` is empty"),
    ("muserc", muserc(q_answers="Кот"), "`answers` is str and not list"),
    ("muserc", muserc(q_idx=None), "no `idx`"),
    ("muserc", muserc(a_label=None), "no `label`"),
    ("muserc", muserc(a_label=2), "label 2 is none of 0, 1"),
    ("muserc", muserc(q_answers=LINES["muserc"]["passage"]["questions"][0]["answers"] * 2), "id 7-2-3 stands on an"),
    ("rucos", news(query="Пел Кит."), "the query has no @placeholder; mend the query"),
    ("rucos", news(entities=[]), "no entity; fill in `entities`"),
    ("rucos", news(entities=[5]), "int and no object with `start`"),
    ("rucos", news(answers=[]), "no `answers`; fill them in"),
    ("rucos", news(answers="Кит"), "`answers` is str and not list"),
    ("rucos", {"qas": []}, "`qas` is empty"),
    ("rucos", {"passage": {"text": "Кит"}}, "no `entities`"),
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
        ("{line}\n[1]\n", ":2: list and no object with"),
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
