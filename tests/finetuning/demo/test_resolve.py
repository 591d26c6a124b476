"""The demo's benchmarks: the same for everybody, true to their formats, with labels that follow from the texts."""

import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest

from distillation.config.recipe import UserError
from finetuning.demo import resolve as demo
from finetuning.demo.texts import feeling
from finetuning.sets import collection3
from finetuning.tasks.bio_spans import entities

TASKS = ("rusentiment", "paraphraser", "collection3", "sberquad", "russian_superglue")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    for task in TASKS:
        demo.demo_data(task, folder)
    return folder


def posts(folder, *names):
    rows = []
    for name in names:
        with open(folder / "rusentiment" / f"rusentiment_{name}.csv", encoding="utf-8", newline="") as file:
            rows += [(row["label"], row["text"]) for row in csv.DictReader(file)]
    return rows


def pairs(folder, name):
    text = (folder / "paraphraser" / name).read_text(encoding="utf-8")
    declaration, _, rest = text.partition("\n")
    assert declaration == "<?xml version='1.0' encoding='UTF8'?>"
    items = ElementTree.fromstring(rest).iter("paraphrase")
    return [{value.get("name"): value.text for value in item} for item in items]


def questions(folder, name):
    """Context, question, answer, and the place of the answer."""
    (article,) = json.loads((folder / "sberquad" / name).read_text(encoding="utf-8"))["data"]
    return [
        (paragraph["context"], qa["question"], qa["answers"][0]["text"], qa["answers"][0]["answer_start"], qa["id"])
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("task", TASKS)
def test_equal_files_every_time(folder, tmp_path, task):
    """Scores of the demo can be compared only if everybody's data is the same."""
    assert contents(demo.demo_data(task, tmp_path)) == contents(folder / task)


def test_nothing_else_is_left(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_written_once(folder, task):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert demo.demo_data(task, folder) == folder / task
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("task", TASKS)
def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch, task):
    """Half a data set would be taken for a whole one ever after."""

    def interrupted(folder):
        (folder / "train.txt").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setitem(demo.WRITERS, task, interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.demo_data(task, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once(tmp_path, monkeypatch):
    """Every rank of a launch asks for the data: the second to finish takes what the first has written."""
    write = demo.WRITERS["collection3"]

    def overtaken(folder):
        monkeypatch.setitem(demo.WRITERS, "collection3", write)
        demo.demo_data("collection3", tmp_path)
        write(folder)

    monkeypatch.setitem(demo.WRITERS, "collection3", overtaken)
    assert demo.demo_data("collection3", tmp_path) == tmp_path / "collection3"
    assert [path.name for path in tmp_path.iterdir()] == ["collection3"]


def test_an_unknown_task():
    with pytest.raises(UserError, match="choose one of rusentiment, paraphraser"):
        demo.demo_data("glue")


def test_posts(folder):
    train, test = posts(folder, "random_posts", "preselected_posts"), posts(folder, "test")
    labels = {"neutral", "positive", "negative", "speech", "skip"}
    assert len(train) == 804 and len(test) == 200
    assert {label for label, _ in train} == {label for label, _ in test} == labels
    assert not {text for _, text in train} & {text for _, text in test}
    assert any("\n" in text.strip() for _, text in train) and any(text.endswith("\n") for _, text in train)
    repeated = [text for text, count in Counter(text for _, text in train).items() if count > 1]
    assert len(repeated) == 4
    assert sum(len({label for label, text in train if text == again}) == 2 for again in repeated) == 1


def test_the_label_of_a_post_follows_from_its_text(folder):
    """A label by chance could not be learned, and the demo would show a failure that is none."""
    rows = posts(folder, "random_posts", "test")
    thanks = re.compile("Спасибо|Благодарю|Поздравляю")
    assert all((label == "speech") == bool(thanks.match(text)) for label, text in rows[:600])
    assert all(feeling(text) == label for label, text in rows[:600] if label not in ("speech", "skip"))
    assert feeling("Добрая и умная дама.") == "positive" and feeling("Бабушка забыла старый стол.") == "negative"
    assert feeling("Добрая дама забыла стол.") is None and feeling("Добрая дама.") is None


def test_pairs(folder):
    train, gold = pairs(folder, "paraphrases.xml"), pairs(folder, "paraphrases_gold.xml")
    assert len(train) == 1000 and len(gold) == 250
    assert set(train[0]) == {"id", "id_1", "id_2", "text_1", "text_2", "class"}
    assert {row["class"] for row in train} == {row["class"] for row in gold} == {"-1", "0", "1"}
    texts = [{(row["text_1"], row["text_2"]) for row in rows} for rows in (train, gold)]
    assert not texts[0] & texts[1] and len(texts[0]) == 1000
    assert len({row["id"] for row in train + gold}) == 1250


def test_what_the_classes_of_pairs_mean(folder):
    """The words of a strict paraphrase are the same, of a loose one nearly; others share one and not the deed."""
    for row in pairs(folder, "paraphrases.xml"):
        first, second = (re.findall(r"\w+", row[name].lower()) for name in ("text_1", "text_2"))
        assert first != second
        if row["class"] == "1":
            assert sorted(first) == sorted(second)
        elif row["class"] == "0":
            same = set(first) & set(second)
            assert sorted(first) != sorted(second) and len(same) >= 4, row
        else:
            assert sorted(first) != sorted(second)


def test_sentences(folder):
    splits = collection3.read(str(folder / "collection3"))
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 800, "validation": 200, "test": 200}
    texts = [row["text"] for rows in splits.values() for row in rows]
    assert len(set(texts)) == len(texts)
    for rows in splits.values():
        assert {tag for row in rows for tag in row["tags"]} == set(collection3.tags(3))
    assert (folder / "collection3" / "train.txt").read_text(encoding="utf-8").count("<DOCSTART>\n\n") == 80


def test_the_type_of_an_entity_follows_from_its_place(folder):
    """A publisher is a place behind «в» and an organisation elsewhere: the word alone does not tell."""
    rows = collection3.read(str(folder / "collection3"))["train"]
    found = [
        (kind, row["text"][:start].lower().endswith("в "), surface.lower())
        for row in rows
        for kind, start, _, surface in entities(row, row["tags"])
    ]
    assert all((kind == "LOC") == inside for kind, inside, _ in found)
    kinds = {kind for kind, _, surface in found if "издательств" in surface}
    assert kinds == {"LOC", "ORG"}
    assert any(" " in surface for kind, _, surface in found if kind == "PER")


@pytest.mark.parametrize(("name", "number"), [("train-v1.1.json", 800), ("dev-v1.1.json", 200)])
def test_answers_lie_where_they_are_said_to_lie(folder, name, number):
    rows = questions(folder, name)
    assert len(rows) == number
    for context, question, answer, start, _ in rows:
        assert re.match(rf"\b{answer}\b", context[start:]) and not context[:start][-1:].isalpha(), question
        if question.startswith("Где"):
            assert answer.lower().startswith("в ")
    assert {question.split()[0] for _, question, *_ in rows} == {"Кто", "Что", "Где"}
    assert any(question != question.strip() for _, question, *_ in rows)


def test_a_question_has_one_answer(folder):
    """The asked words come from one statement, and the answer stands there."""
    for context, question, _, start, _ in questions(folder, "train-v1.1.json"):
        statement = context[context.rfind(".", 0, start) + 1 :].split(".")[0].lower()
        words = re.findall(r"\w+", question.lower())
        if words[0] == "кто":
            assert " ".join(words[2:]) in statement
        else:
            assert set(words[1:]) <= set(re.findall(r"\w+", statement))


def test_contexts_of_train_and_dev_differ(folder):
    train, dev = (questions(folder, f"{name}-v1.1.json") for name in ("train", "dev"))
    assert not {row[0] for row in train} & {row[0] for row in dev}
    assert len({row[-1] for row in train + dev}) == 1000
