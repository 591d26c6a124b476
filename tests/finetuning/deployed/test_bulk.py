"""A file of texts and the file of its answers: rows in their order, whatever damages them."""

import csv
import functools
import gzip
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.backends.registry import BACKENDS
from distillation.config.errors import Stopped, UserError
from distillation.models.tokenizer_file import save_tokenizer
from finetuning.deployed import bulk
from finetuning.run_predict import main
from tests.benchmarks.tiny_models import SHAPE, lively
from tests.finetuning.deployed.known_model import TEXTS, Known, lines

ROOT = Path(__file__).resolve().parents[3]


def right(text, tokenizer):
    return "LABEL_0" if len(tokenizer(text)["input_ids"]) >= 10 else "LABEL_1"


def test_rows_keep_their_order_and_columns(predict, tokenizer):
    """Inputs are sorted by length inside a block, and no column of the input is written over."""
    rows = [{"id": n, "text": text, "label": ["mine"], "dated": None} for n, text in enumerate(TEXTS)]
    answers = predict(lines(rows), all_scores=True)
    assert [{key: one[key] for key in rows[0]} for one in answers] == rows
    assert [one["predicted_label"] for one in answers] == [right(text, tokenizer) for text in TEXTS]
    assert {one["predicted_label"] for one in answers} == {"LABEL_0", "LABEL_1"}
    for one in answers:
        assert list(one)[4:] == ["predicted_label", "score", "scores"] and list(one["scores"]) == [
            "LABEL_0",
            "LABEL_1",
        ]
        assert one["score"] == one["scores"][one["predicted_label"]] == round(one["score"], 6)


HARD = 'он сказал: "да"; и,\nвот\tтак\r'


def of_csv(delimiter, mark=""):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["id", "text"], ["7", HARD], ["8", "кот"]])
    return (mark + text.getvalue()).encode()


def of_parquet():
    pq.write_table(pa.table({"id": ["7", "8"], "text": [HARD, "кот"]}), content := io.BytesIO())
    return content.getvalue()


FORMATS = {
    "in.csv": of_csv(","),
    "excel.csv": of_csv(";", "\ufeff"),
    "excel-1251.csv": of_csv(";").decode().encode("cp1251"),
    "in.tsv": of_csv("\t"),
    "in.parquet": of_parquet(),
}
FORMATS |= {"in.csv.gz": gzip.compress(of_csv(",")), "in.csv.zst": pa.compress(of_csv(","), "zstd", asbytes=True)}
FORMATS |= {"excel.jsonl": "\ufeff" + lines([{"id": "7", "text": HARD}, {"id": "8", "text": "кот"}])}
FORMATS |= {"in.jsonl": "\n" + lines([{"id": "7", "text": HARD}]) + "\n" + lines([{"id": "8", "text": "кот"}])}


@pytest.mark.parametrize("output", ["out.jsonl", "out.csv", "out.tsv"])
@pytest.mark.parametrize("name", FORMATS)
def test_formats(name, output, predict):
    found = predict(FORMATS[name], name, output)
    if not output.endswith("jsonl"):
        of_excel = name.startswith("excel")  # which would read UTF-8 without a mark as CP1251
        delimiter = "\t" if output == "out.tsv" else ";" if of_excel and ".csv" in name else ","
        assert found.count("\ufeff") == of_excel and found.startswith("\ufeff") == of_excel
        found = list(csv.DictReader(io.StringIO(found.lstrip("\ufeff"), newline=""), delimiter=delimiter))
    assert [(one["id"], one["text"], one["label"]) for one in found] == [
        ("7", HARD, "LABEL_0"),
        ("8", "кот", "LABEL_1"),
    ]


@pytest.mark.parametrize(("content", "texts"), [("кот\r\n\nпёс", ["кот", "", "пёс"]), ('{"text": "кот"}\n', ["кот"])])
def test_standard_input(content, texts, predict, monkeypatch):
    """A text a line, or JSON Lines. A blank line has its line in the output."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    answers = predict("", input="-")
    assert [one["text"] for one in answers] == texts
    assert [one["label"] for one in answers] == [text and "LABEL_1" or None for text in texts]


def test_rows_are_counted_without_a_progress_bar(predict, monkeypatch, capsys):
    """`TQDM_DISABLE=1` switches it off, and it then counts nothing."""
    monkeypatch.setattr(bulk, "tqdm", functools.partial(bulk.tqdm, disable=True))
    predict(lines([{"text": text} for text in TEXTS]))
    assert f"out.jsonl: {len(TEXTS)} rows in" in capsys.readouterr().out


@pytest.mark.parametrize(("source", "message"), [("in.jsonl", "interrupted: `--resume`"), ("-", "interrupted$")])
def test_only_a_file_is_resumed(source, message, predict, monkeypatch):
    monkeypatch.setattr(bulk, "answered", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("кот\n".encode())))
    with pytest.raises(Stopped, match=message):
        predict(lines([{"text": "кот"}]), input=source)


def test_an_input_that_has_changed_is_not_resumed(predict):
    """Old and new answers would stand in one file. Both texts have the same size."""
    predict(lines([{"text": "кот"}]))
    with pytest.raises(UserError, match="made with other `input`"):
        predict(lines([{"text": "пёс"}]), resume=True)


BAD = [{"text": "кот"}, {"text": "\x01 \x7f"}, {"txt": "кот"}, {"text": ["кот"]}, {"text": 5}, {"text": "x \ud83d"}]
BAD_LINES = lines(BAD[:-1]) + json.dumps(BAD[-1]) + '\n[1]\n{broken\n{"text": NaN}\n'


def test_bad_rows_are_told_and_have_no_answer(predict, caplog, capsys):
    with caplog.at_level("WARNING"):
        answers = predict(BAD_LINES)
    assert [one["label"] is None for one in answers] == [False, True, True, True, False, False, True, True, True]
    assert re.findall(r"row (\d) has no answer", caplog.text) == ["2", "3", "4", "7", "8", "9"]
    assert "6 have no answer" in capsys.readouterr().out
    with pytest.raises(UserError, match="row 2: `text` is blank; row 3: .*row 4: `text` is a list; row 7.*`strict`"):
        predict(BAD_LINES, output="strict.jsonl", strict=True)
    assert not list(Path().glob("strict*"))


def test_keys_of_a_later_row_are_columns_and_are_not_written_over(predict):
    content = lines([{"text": "кот"}] * 3 + [{"text": "пёс", "label": "mine", "more": 1}])
    assert predict(content)[3]["label"] == "mine" and predict(content)[3]["predicted_label"] == "LABEL_1"
    found = list(csv.DictReader(io.StringIO(predict(content, output="out.csv"))))
    assert [one["label"] for one in found] == ["", "", "", "mine"] and found[3]["more"] == "1"
    assert {one["predicted_label"] for one in found} == {"LABEL_1"}


@pytest.mark.parametrize(("output", "late"), [("out.jsonl", "label"), ("out.csv", "label"), ("out.csv", "more")])
def test_a_late_key_of_standard_input_is_refused_where_it_would_be_lost(output, late, predict, monkeypatch):
    content = lines([{"text": "кот"}] * 3 + [{"text": "пёс", late: "mine"}])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    with pytest.raises(UserError, match=f"a row has '{late}', which the first rows lack"):
        predict("", input="-", output=output)


def test_a_number_is_the_text_that_it_was_in_training(predict, monkeypatch):
    """A column of numbers with a gap has floats."""
    read = []
    monkeypatch.setattr(bulk, "answered", lambda model, block, *others: read.extend(block) or [])
    predict(lines([{"text": 5.0}, {"text": 5.5}, {"text": True}, {"text": None}]))
    assert [texts for _, texts, problem in read if not problem] == [["5"], ["5.5"], ["True"]]


@pytest.mark.parametrize("output", ["out.jsonl", "out.csv"])
def test_lists_of_numbers_stay_json(predict, output):
    """NaN and Infinity are none, and most readers refuse them."""
    pq.write_table(pa.table({"text": ["кот"], "list": [[1.5, math.nan, math.inf]]}), content := io.BytesIO())
    found = predict(content.getvalue(), "in.parquet", output)
    row = found[0] if output.endswith("jsonl") else next(csv.DictReader(io.StringIO(found)))
    assert row["list"] in ([1.5, None, None], "[1.5, null, null]")


def test_ragged_csv(predict):
    """A row of too many cells has no answer, and loses none of them."""
    found = predict('text,id\nкот,1\nкот, и пёс,2\n"пёс" злой,3\nпёс,4\n', "in.csv", "out.csv")
    rows = list(csv.reader(io.StringIO(found)))[1:]
    assert [row[2] for row in rows] == ["LABEL_1", "", "", "LABEL_1"] and rows[1][:2] == ["кот", " и пёс,2"]


WRONG = {
    "absent.csv": dict(input="absent.csv"),
    "same file": dict(output="in.jsonl"),
    "in.jsonl has no column `txt`; it has 'text': set `text_column` to one": dict(text_column="txt"),
    "`text_pair_column` for a model of this kind: give one": dict(
        text_column="text", text_pair_column="text text text"
    ),
    "`output` 'out.xlsx'": dict(output="out.xlsx"),
    "`shard` is '9/8'": dict(shard="9/8"),
    "in.docx: name a file that ends in": dict(name="in.docx"),
    "in.csv is no UTF-8 but probably": dict(name="in.csv", content="text\nкот и пёс\n".encode("koi8-r") * 50),
    "in.csv:2: a quote opens here": dict(name="in.csv", content='text\n"кот\nпёс\n'),
    "in.csv: two columns have the name 'text'": dict(name="in.csv", content="text,text\nкот,пёс\n"),
    "in.csv has no columns (it is empty)": dict(name="in.csv", content=""),
    "in.jsonl has no columns (a list": dict(content="[1]\n"),
    "in.csv has no row with a text": dict(name="in.csv", content="text\n"),
    "in.csv has no row with a text (row 1: `text` is blank)": dict(name="in.csv", content="text,id\n,1\n ,2\n"),
    "cannot be read as parquet": dict(name="in.parquet", content="PAR1"),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_people_do_wrong(message, predict):
    keys = {"content": lines([{"text": "кот"}]), **WRONG[message]}
    pair = keys.pop("text_pair_column", "").split()
    with pytest.raises(UserError, match=re.escape(message)):
        if pair:
            Path("in.jsonl").write_text(keys["content"])
            words = ["--model_name_or_path=me/model", "--input=in.jsonl", "--output=out.jsonl", "--text_pair_column"]
            main.__wrapped__([*words, *pair])
        predict(**keys)
    assert not list(Path().glob("out*"))


def test_a_masked_lm_answers_no_texts_without_a_mask(predict, tokenizer, monkeypatch):
    """It would copy them."""
    rule = lambda tokens: [[[float(n == 7) for n in range(len(tokenizer))] for _ in tokens]]  # noqa: E731
    monkeypatch.setattr(bulk, "load", lambda name: Known(tokenizer, "MaskedLM", rule))
    with pytest.raises(UserError, match=r"fills in \[MASK\], and no text has one: name a model that was"):
        predict(lines([{"text": "кот"}, {"text": "пёс"}]))
    with pytest.raises(UserError, match="has no row with a text"):
        predict(lines([{"text": " "}]))
    copied, filled = predict(lines([{"text": "кот"}, {"text": "[MASK] пёс"}]))
    assert copied["filled"] == "кот" and not copied["masks"] and len(filled["masks"]) == 1


def test_questions_need_their_contexts(predict, tokenizer, monkeypatch):
    rule = lambda tokens: ([1.0 * (one == "к") for one in tokens], [1.0 * (one == "##т") for one in tokens])  # noqa: E731
    # It was made from a classifier of single texts, whose config it has.
    monkeypatch.setattr(bulk, "load", lambda name: Known(tokenizer, "QuestionAnswering", rule, texts_at_once=1))
    content = lines([{"text": "кто?", "passage": "тут кот"}])
    with pytest.raises(UserError, match="`text_pair_column` for a model of .*: give the column of the contexts"):
        predict(content)
    (answer,) = predict(content, text_pair_column="passage")
    assert list(answer) == ["text", "passage", "answer", "start", "end", "score"]


@pytest.mark.parametrize(
    ("at_once", "pair", "remedy"), [(2, {}, "one column"), (1, {"text_pair_column": "id"}, "none")]
)
def test_a_model_of_pairs_reads_no_single_texts(predict, tokenizer, monkeypatch, at_once, pair, remedy):
    """It would answer, and its answers would mean nothing."""
    keys = dict(rule=lambda tokens: [[0.0, 1.0]], texts_at_once=at_once)
    monkeypatch.setattr(bulk, "load", lambda name: Known(tokenizer, "SequenceClassification", **keys))
    content = lines([{"text": "кот", "id": "пёс"}])
    with pytest.raises(UserError, match=f"for a model of this kind: give {remedy}$"):
        predict(content, **pair)
    assert predict(content, **({} if pair else {"text_pair_column": "id"}))[0]["label"] == "LABEL_1"


def test_an_exported_folder_needs_neither_torch_nor_transformers(tokenizer, tmp_path):
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **SHAPE)
    config.architectures = ["BertForSequenceClassification"]
    sample = {name: np.repeat(one, 2, 0) for name, one in tokenizer("кот", "пёс", return_tensors="np").items()}
    BACKENDS["onnx"].build(model := lively(BertForSequenceClassification, config), [sample], tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    model.config.save_pretrained(tmp_path)
    (tmp_path / "in.txt").write_text("кот\nпёс\n")
    code = "import sys; from finetuning.run_predict import main; main(sys.argv[1:]);"
    code += "print(*{*sys.modules} & {'torch', 'transformers', 'datasets', 'huggingface_hub', 'pandas'}, 'none else')"
    words = ["--model_name_or_path", tmp_path, "--input", tmp_path / "in.txt", "--output", tmp_path / "out.csv"]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "none else" and len((tmp_path / "out.csv").read_text().splitlines()) == 3
