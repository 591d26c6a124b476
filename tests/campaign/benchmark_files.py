"""The files of each benchmark with what is wrong in them, and results that are none."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.case import EITHER, REFUSED, Case, Cases, Entry, Make
from tests.campaign.damage import DAMAGES, STAND_INS, Change, copied, damaged, gz, mutated, replaced

# Of each benchmark: a file of which everything is tried.
FILES = {
    "rusentiment": ("rusentiment_random_posts.csv", "rusentiment_test.csv"),
    "paraphraser": ("paraphrases.xml", "paraphrases_gold.xml"),
    "collection3": ("train.txt", "test.txt"),
    "sberquad": ("train-v1.1.json", "dev-v1.1.json"),
    "russian_superglue": ("TERRa/train.jsonl", "TERRa/test.jsonl"),
}
ENTITIES = '<!DOCTYPE data [<!ENTITY a "{inside}">{more}]>'
Damage = Callable[[str], str]


def by_hand() -> dict[str, dict[str, tuple[Damage, str]]]:
    """What happens to the text of the first of the files, and what has to become of it."""
    laughs = "".join(f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdefghi", "bcdefghij", strict=True))
    return {
        "rusentiment": {
            "another-header": (lambda text: text.replace("label", "class", 1), REFUSED),
            "no-header": (lambda text: text.split("\n", 1)[1], REFUSED),
            "an-unknown-label": (lambda text: text + "angry,Ужас\n", REFUSED),
            "no-label": (lambda text: text + ",Ужас\n", REFUSED),
            "a-blank-text": (lambda text: text + "neutral,  \n", REFUSED),
            "one-cell": (lambda text: text + "neutral\n", REFUSED),
            "three-cells": (lambda text: text + "neutral,a,b\n", REFUSED),
            "an-open-quote": (lambda text: text + 'neutral,"a\n', REFUSED),
            "semicolons": (lambda text: text.replace(",", ";"), REFUSED),
            "tabs": (lambda text: text.replace(",", "\t"), REFUSED),
            "one-row": (lambda text: "label,text\nneutral,Да\n", REFUSED),
            "one-text": (lambda text: "label,text\n" + "neutral,Да\n" * 30, REFUSED),
            "one-label": (lambda text: "label,text\n" + "".join(f"neutral,Да {n}\n" for n in range(30)), EITHER),
            "conflicts-alone": (lambda text: "label,text\n" + "neutral,Да\npositive,Да\n" * 20, REFUSED),
            "a-huge-cell": (lambda text: text + f"neutral,{'ж' * 200_000}\n", EITHER),
            "a-nul": (lambda text: text + "neutral,Да\x00нет\n", EITHER),
        },
        "paraphraser": {
            "no-pairs": (lambda text: "<data><corpus></corpus></data>", REFUSED),
            "another-root": (lambda text: "<a><b/></a>", REFUSED),
            "not-closed": (lambda text: text.replace("</data>", ""), REFUSED),
            "an-unknown-class": (lambda text: re.sub('"class">[^<]*', '"class">7', text, count=1), REFUSED),
            "no-class": (lambda text: re.sub('"class">[^<]*', '"class">', text, count=1), REFUSED),
            "no-text": (lambda text: re.sub('"text_1">[^<]*', '"text_1">', text, count=1), REFUSED),
            "no-id": (lambda text: text.replace('name="id"', 'name="number"', 1), REFUSED),
            "one-id": (lambda text: re.sub('"id">[^<]*', '"id">1', text), REFUSED),
            "an-entity": (lambda text: _with_entity(text, "&a;", ""), EITHER),
            "laughs": (lambda text: _with_entity(text, "&j;", laughs), EITHER),
            "a-file-as-an-entity": (
                lambda text: _with_entity(text, "&x;", '<!ENTITY x SYSTEM "file:///etc/passwd">'),
                EITHER,
            ),
            "another-encoding": (lambda text: text.replace("UTF8", "windows-1251", 1), EITHER),
            "a-nul": (lambda text: text.replace("text_1\">", "text_1\">\x00", 1), REFUSED),
            "deep": (lambda text: "<a>" * 100_000, REFUSED),
            "values-in-values": (lambda text: text.replace('"id">', '"id"><value name="class">1</value>', 1), EITHER),
        },
        "collection3": {
            "no-sentence": (lambda text: "\n\n", REFUSED),
            "an-unknown-tag": (lambda text: text.replace("\tO\n", "\tB-BIRD\n", 1), REFUSED),
            "no-tag": (lambda text: text.replace("\tO\n", "\n", 1), REFUSED),
            "two-tags": (lambda text: text.replace("\tO\n", "\tO\tO\n", 1), REFUSED),
            "no-word": (lambda text: text.replace("\n\n", "\n\n\tO\n", 1), REFUSED),
            "spaces": (lambda text: text.replace("\t", " "), REFUSED),
            "inside-without-a-beginning": (lambda text: text.replace("B-", "I-"), EITHER),
            "no-entities": (lambda text: re.sub(r"\t\S+", "\tO", text), EITHER),
            "one-sentence": (lambda text: "Да\tO\n", REFUSED),
            "no-blank-lines": (lambda text: text.replace("\n\n", "\n"), EITHER),
            "a-long-word": (lambda text: f"{'ж' * 100_000}\tO\n\n{text}", EITHER),
            "words-of-nothing": (lambda text: f"\u200b\tO\n\u00ad\tO\n\n{text}", EITHER),
            "byte-order-marks": (lambda text: text.replace("\n\n", "\n\n\ufeff", 3), EITHER),
        },
        "sberquad": {
            "no-data": (lambda text: "{}", REFUSED),
            "a-number": (lambda text: "7", REFUSED),
            "null": (lambda text: "null", REFUSED),
            "no-articles": (lambda text: '{"data": []}', REFUSED),
            "a-list-of-numbers": (lambda text: "[1, 2]", REFUSED),
            "not-a-number": (lambda text: '{"data": NaN}', REFUSED),
            "deep": (lambda text: '{"data": ' + "[" * 100_000, REFUSED),
            "huge-numbers": (lambda text: re.sub(r'_start": \d+', f'_start": {"9" * 5000}', text, count=1), REFUSED),
            "an-answer-elsewhere": (_of_question(lambda qa: qa["answers"][0].update(text="Нигде")), REFUSED),
            "a-start-beyond": (_of_question(lambda qa: qa["answers"][0].update(answer_start=10**12)), EITHER),
            "a-start-before": (_of_question(lambda qa: qa["answers"][0].update(answer_start=-10**12)), EITHER),
            "a-word-for-a-start": (_of_question(lambda qa: qa["answers"][0].update(answer_start="0")), REFUSED),
            "a-fraction-for-a-start": (_of_question(lambda qa: qa["answers"][0].update(answer_start=0.5)), REFUSED),
            "no-question": (_of_question(lambda qa: qa.pop("question")), REFUSED),
            "no-id": (_of_question(lambda qa: qa.pop("id")), REFUSED),
            "an-id-of-lists": (_of_question(lambda qa: qa.update(id=[1])), REFUSED),
            "no-answers": (_of_question(lambda qa: qa.update(answers=[])), EITHER),
            "answers-of-words": (_of_question(lambda qa: qa.update(answers=["да"])), REFUSED),
            "null-answers": (_of_question(lambda qa: qa.update(answers=None)), REFUSED),
            "one-id": (lambda text: re.sub(r'"id": \d+', '"id": 1', text), REFUSED),
            "an-empty-context": (_of_paragraph(lambda one: one.update(context="")), REFUSED),
            "a-context-of-spaces": (_of_paragraph(lambda one: one.update(context=" \n")), REFUSED),
            "a-list-for-a-context": (_of_paragraph(lambda one: one.update(context=["a"])), REFUSED),
            "half-a-surrogate": (_of_question(lambda qa: qa.update(question="\ud800")), EITHER),
        },
        "russian_superglue": {
            "a-list": (lambda text: "[]\n", REFUSED),
            "words": (lambda text: '"a"\n', REFUSED),
            "numbers": (lambda text: "1\n2\n", REFUSED),
            "no-label": (_of_row(lambda row: row.pop("label")), REFUSED),
            "an-unknown-label": (_of_row(lambda row: row.update(label="perhaps")), REFUSED),
            "a-list-for-a-label": (_of_row(lambda row: row.update(label=["entailment"])), REFUSED),
            "no-premise": (_of_row(lambda row: row.pop("premise")), REFUSED),
            "a-number-for-a-premise": (_of_row(lambda row: row.update(premise=7)), REFUSED),
            "an-empty-premise": (_of_row(lambda row: row.update(premise="", hypothesis="")), EITHER),
            "no-idx": (_of_row(lambda row: row.pop("idx")), REFUSED),
            "a-word-for-an-idx": (_of_row(lambda row: row.update(idx="first")), REFUSED),
            "a-truth-for-an-idx": (_of_row(lambda row: row.update(idx=True)), REFUSED),
            "digits-of-another-script": (_of_row(lambda row: row.update(idx="²")), EITHER),
            "digits-without-end": (_of_row(lambda row: row.update(idx="9" * 5000)), EITHER),
            "one-idx": (lambda text: re.sub(r'"idx": \d+', '"idx": 1', text), REFUSED),
            "deep": (lambda text: "[" * 100_000, REFUSED),
            "half-a-surrogate": (_of_row(lambda row: row.update(premise="\ud800")), EITHER),
        },
    }  # fmt: skip


def _with_entity(text: str, reference: str, declared: str) -> str:
    text = text.replace("<data>", ENTITIES.format(inside="ха", more=declared) + "<data>", 1)
    return re.sub('"text_1">', f'"text_1">{reference}', text, count=1)


def _of_question(function: Callable[[dict], Any]) -> Damage:
    return _of_paragraph(lambda paragraph: function(paragraph["qas"][0]))


def _of_paragraph(function: Callable[[dict], Any]) -> Damage:
    def damage(text: str) -> str:
        content = json.loads(text)
        function(content["data"][0]["paragraphs"][0])
        return json.dumps(content)

    return damage


def _of_row(function: Callable[[dict], Any]) -> Damage:
    def damage(text: str) -> str:
        rows = [json.loads(line) for line in text.splitlines() if line]
        function(rows[0])
        return "".join(json.dumps(row) + "\n" for row in rows)

    return damage


def benchmark_data(entry: Entry) -> Cases:
    """The benchmark of an entry with one of its files changed."""
    train, test = FILES[entry.data]
    for name, damage in DAMAGES.items():
        for file in (train, test):
            yield Case(entry, f"{file}-{name}", {"data_dir": "{here}/data"}, _data(entry, damaged(file, damage)))
    for name in ("cut", "noise", "empty"):
        damage = DAMAGES[name]
        yield Case(
            entry,
            f"{train}.gz-{name}",
            {"data_dir": "{here}/data"},
            _data(entry, damaged(train, lambda content, damage=damage: damage(gz(content)), ".gz")),
            REFUSED,
        )
    for name, stand_in in STAND_INS.items():
        yield Case(entry, f"{train}-{name}", {"data_dir": "{here}/data"}, _data(entry, replaced(train, stand_in)))
    for name, (change, expected) in by_hand()[entry.data].items():

        def of_bytes(content: bytes, change: Damage = change) -> bytes:
            return change(content.decode("utf-8")).encode("utf-8", "surrogatepass")

        yield Case(
            entry, f"{train}-{name}", {"data_dir": "{here}/data"}, _data(entry, damaged(train, of_bytes)), expected
        )


def drawn(entry: Entry, draw: random.Random) -> Case:
    """A file of a benchmark with bytes cut, flipped, or inserted."""
    file, seed = draw.choice(FILES[entry.data]), draw.random()
    damage = _data(entry, damaged(file, lambda content: mutated(content, random.Random(seed))))
    return Case(entry, f"data-{file.replace('/', '-')}", {"data_dir": "{here}/data"}, damage)


def _data(entry: Entry, change: Change) -> Make:
    return copied(f"data/{entry.data}", "data", change)


def brat(entry: Entry) -> Cases:
    """brat documents whose entities do not fit."""
    wrong = {
        "beyond": "T1\tPER 20 24\tАнна\n",
        "of-nothing": "T1\tPER 4 4\t\n",
        "backwards": "T1\tPER 4 0\tАнна\n",
        "another-surface": "T1\tPER 0 4\tИван\n",
        "an-unknown-type": "T1\tBIRD 0 4\tАнна\n",
        "no-tabs": "T1 PER 0 4 Анна\n",
        "a-huge-number": f"T1\tPER 0 {'9' * 5000}\tАнна\n",
        "fine": "T1\tPER 0 4\tАнна\n",
    }
    for name, annotation in wrong.items():

        def make(good: Path, here: Path, annotation: str = annotation) -> None:
            for part in ("train", "test"):
                folder = here / "data" / part
                folder.mkdir(parents=True)
                (folder / "one.txt").write_text("Анна ушла.", "utf-8")
                (folder / "one.ann").write_text(annotation, "utf-8")

        yield Case(entry, f"brat-{name}", {"data_dir": "{here}/data"}, make, EITHER if name == "fine" else REFUSED)
