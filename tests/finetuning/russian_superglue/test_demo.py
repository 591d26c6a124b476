"""The demo's nine tasks: the layout and quirks of the real files, with labels that follow from the texts."""

import json
import re

import pytest

from finetuning.demo.resolve import demo_data
from finetuning.russian_superglue.demo import write_demo
from finetuning.russian_superglue.readers import read
from finetuning.russian_superglue.rucos import PLACEHOLDER
from finetuning.russian_superglue.tasks import LABELS, NAMES

SIZES = {"lidirus": (None, 100, 100), "muserc": (40, 10, 5), "rucos": (150, 50, 25)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return demo_data("russian_superglue", tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def parts(folder):
    return {task: read(task, str(folder)) for task in NAMES}


def lines(folder, task, name):
    text = (folder / NAMES[task] / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def words(text):
    return re.findall(r"\w+", text.lower())


def test_equal_files_every_time(folder, tmp_path):
    """Scores of the demo can be compared only if everybody's data is the same."""
    write_demo(tmp_path)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jsonl"))
    assert len(names) == 25
    assert all((folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


@pytest.mark.parametrize("task", NAMES)
def test_sizes_and_labels(parts, task):
    """Every label in every labelled part, and the parts small enough for a demo."""
    sizes = []
    for part in ("train", "test", "submission"):
        rows = parts[task].get(part)
        sizes.append(None if rows is None else len({row["idx"][0] for row in rows} if task == "muserc" else rows))
        if rows and (part != "submission" or task == "lidirus"):
            labels = {str(row["label"]) for row in rows}
            assert labels == set(LABELS[task]) or (task == "rucos" and labels == {"0", "1"})
        elif rows:
            assert {row["label"] for row in rows} == {None}
    assert tuple(sizes) == SIZES.get(task, (400, 100, 50))


@pytest.mark.parametrize("task", NAMES)
def test_no_example_is_in_two_parts(parts, task):
    def texts(row):
        return str({key: value for key, value in row.items() if key not in ("id", "idx", "label", "answers")})

    seen = [texts(row) for part in ("train", "test", "submission") for row in parts[task].get(part, [])]
    if task == "lidirus":
        seen = seen[:100]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("task", NAMES)
def test_line_ends(folder, task):
    """As in the real files, so that a demo would show a reader that stumbles over them."""
    for path in (folder / NAMES[task]).iterdir():
        content = path.read_bytes()
        assert content.count(b"\r\n") == (content.count(b"\n") if task in ("terra", "russe") else 0)
        assert content.endswith(b"\n") == (f"{task}/{path.stem}" != "parus/test")


def test_quirks_of_keys(folder):
    negations = [("negation" in line, "no_negation" in line) for line in lines(folder, "rcb", "train")]
    assert negations.count((False, True)) == 1 and negations.count((True, False)) == 399
    diagnostic = lines(folder, "lidirus", "LiDiRus")
    assert all(isinstance(line["idx"], str) for line in diagnostic)
    assert any(";" in line.get("logic", "") for line in diagnostic)
    assert any(line["passage"]["text"].startswith('"(1)') for line in lines(folder, "muserc", "val"))


def test_quirks_of_spans(folder):
    """One past the end in the labelled files, sometimes of the sentence, and too short in the test file."""
    past = [(line[f"end{n}"], len(line[f"sentence{n}"])) for line in lines(folder, "russe", "val") for n in (1, 2)]
    assert any(end == length + 1 for end, length in past) and any(end <= length for end, length in past)
    for line in lines(folder, "russe", "test"):
        for n in (1, 2):
            sentence, end = line[f"sentence{n}"], line[f"end{n}"]
            assert sentence[end - 1].isalpha() and sentence[end].isalpha()


@pytest.mark.parametrize("task", [task for task in NAMES if task != "lidirus"])
def test_the_test_file_is_unlabelled(folder, task):
    text = (folder / NAMES[task] / "test.jsonl").read_text(encoding="utf-8")
    keys = ('"label"', "gold_sense", '"answers": [{"start"')
    assert not any(key in text for key in keys) and (
        '"label"' in (folder / NAMES[task] / "val.jsonl").read_text()
    ) == (task != "rucos")


@pytest.mark.parametrize("task", ["terra", "lidirus", "rcb", "danetqa"])
def test_entailment_follows_from_the_texts(parts, task):
    """Entailed are words of one sentence of the premise; a label by chance could not be learned."""
    for row in parts[task]["test"]:
        premise, hypothesis = (row["text_2"], row["text"]) if task == "danetqa" else (row["text"], row["text_2"])
        said = set(words(hypothesis)) - {"ли"}
        told = any(said <= set(words(sentence)) for sentence in premise.split("."))
        assert told == (row["label"] in ("entailment", "true")), row
        if task == "rcb":
            assert ("не" in said) == (row["label"] == "contradiction")


def test_the_right_choice_speaks_of_the_same_thing(parts):
    for row in parts["parus"]["test"]:
        assert words(row["choices"][row["label"]])[0][:4] in row["text"].lower(), row


def test_a_sense_is_an_adjective(parts):
    for row in parts["russe"]["test"]:
        stems = [row[text][: row[span][0]].split()[-1][:-2] for text, span in (("text", "span"), ("text_2", "span_2"))]
        assert (stems[0] == stems[1]) == (row["label"] == "true"), row
        assert all(
            row[t][slice(*row[s])].startswith(row["word"][:3]) for t, s in (("text", "span"), ("text_2", "span_2"))
        )


def test_a_pronoun_agrees_with_what_it_stands_for(parts):
    """The other noun is of another gender."""
    for row in parts["rwsd"]["test"]:
        for name, span in (("span_text", "span"), ("span_2_text", "span_2")):
            assert row["text"][slice(*row[span])] == row[name]
    rows = [row for row in parts["rwsd"]["train"] if row["span_text"] in ("Дама", "Певица", "Студент", "Моряк")]
    assert len(rows) > 20
    for row in rows:
        feminine = row["span_text"].endswith("а")
        assert (row["label"] == "true") == (row["span_2_text"] == ("она была" if feminine else "он был")), row


def test_right_answers_stand_in_the_passage(parts):
    for row in parts["muserc"]["test"]:
        assert (row["answer"].rstrip(".").lower() in row["text_2"].lower()) == (row["label"] == "1"), row
    questions = {}
    for row in parts["muserc"]["train"]:
        questions.setdefault(tuple(row["idx"][:2]), []).append(row["label"])
    assert all({"0", "1"} == set(labels) for labels in questions.values())
    assert any(labels.count("1") == 2 for labels in questions.values())


def test_the_answer_of_a_query_did_what_it_tells(parts):
    for row in parts["rucos"]["test"]:
        assert len(row["choices"]) == 2 and row["choices"][row["label"]].lower() == row["answers"][0].lower()
        told = set(words(row["query"].replace(PLACEHOLDER, row["answers"][0])))
        assert any(told == set(words(sentence)) for sentence in re.split(r"[.\n]", row["text"])), row
