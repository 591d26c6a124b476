"""One's own entities: three kinds of files, and types that train has."""

import json

import pytest

from distillation.config.errors import UserError
from finetuning.formats.locate import OwnFiles
from finetuning.sets.tagging import Options, read

TAGS = ["B-PER", "I-PER", "O", "B-LOC"]
CONLL = "Анна\tB-PER\nВега\tI-PER\nв\tO\nТуле\tB-LOC\n"


def write(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content, encoding="utf-8")
    return str(folder / name)


def test_files_of_each_kind(tmp_path, caplog):
    line = {"text": "Анна Вега в Туле", "spans": [[0, 9, "PER"], [12, 16, "LOC"]]}
    write(tmp_path / "brat", "a.txt", line["text"])
    write(tmp_path / "brat", "a.ann", "T1\tPER 0 9\tАнна Вега\nT2\tLOC 12 16\tТуле\n")
    tokens = {"tokens": line["text"].split(), "ner_tags": TAGS}
    sources = [write(tmp_path, "a.conll", CONLL), write(tmp_path, "A.JSONL", json.dumps(line)), str(tmp_path / "brat")]
    prodigy = line | {"tokens": [{"text": "Анна", "start": 0, "end": 4, "id": 0}]}
    for source in [
        *sources,
        *(write(tmp_path, f"{n}.jsonl", json.dumps(one)) for n, one in enumerate([tokens, prodigy])),
    ]:
        ((part, (row,)),) = read(OwnFiles(source), Options()).items()
        assert part == "train" and row["text"] == line["text"] and row["tags"] == TAGS
    assert "less than 10 entities: PER, LOC" in caplog.text


@pytest.mark.parametrize("row", [{"ner_tags": [0, 1]}, {"ner_tags": ["B-PER"]}, {"tokens": ["Анна", 5]}])
def test_tokens_and_tags_that_are_no_names_or_not_as_many(tmp_path, row):
    row = {"tokens": ["Анна", "спит"], "ner_tags": ["B-PER", "O"]} | row
    with pytest.raises(UserError, match="a.jsonl, row 1: `tokens` and `ner_tags` must be lists of as many texts"):
        read(OwnFiles(write(tmp_path, "a.jsonl", json.dumps(row))), Options())


def test_a_folder_of_other_files_is_no_folder_of_documents(tmp_path):
    rows = [{"tokens": ["Анна", "спит"], "ner_tags": ["B-PER", "O"]}]
    write(tmp_path / "goods", "train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert [row["tags"] for row in read(str(tmp_path / "goods"), Options())["train"]] == [["B-PER", "O"]]
    with pytest.raises(UserError, match="can be read neither as a folder nor from the Hub"):
        read(str((tmp_path / "empty").mkdir() or tmp_path / "empty"), Options())


def test_types_that_are_given_twice():
    with pytest.raises(UserError, match="`labels` must differ"):
        Options(labels=["PER", "PER"])


def test_a_key_of_spans_that_no_row_has(tmp_path):
    source = OwnFiles(write(tmp_path, "a.jsonl", '{"text": "Да", "mine": [[0, 2, "X"]]}'))
    with pytest.raises(UserError, match="has no column `spans`; it has 'text', 'mine'"):
        read(source, Options(spans_column="spans"))
    lines = '{"text": "Да"}\n{"text": "Да", "mine": [[0, 2, "X"]]}'
    rows = read(OwnFiles(write(tmp_path, "b.jsonl", lines)), Options(spans_column="mine"))["train"]
    assert [row["tags"] for row in rows] == [["O"], ["B-X"]]  # the first row has no entity, and no such key


@pytest.mark.parametrize(
    ("train", "test", "options", "message"),
    [
        ("Да\tO\n", None, {}, "no text with an entity to train on"),
        (CONLL, "США\tB-ORG\n", {}, r"1 rows of test have entity types that train lacks \(test-0: ORG\)"),
        (CONLL, None, {"labels": ["LOC"]}, r"1 rows of train .* that `labels` lacks \(train-0: PER\)"),
        ("Анна\tPER\n", None, {}, "unknown tag 'PER' of 'Анна'"),
    ],
)
def test_what_is_refused(tmp_path, train, test, options, message):
    source = OwnFiles(write(tmp_path, "train.txt", train), None, test and write(tmp_path, "test.txt", test))
    with pytest.raises(UserError, match=message):
        read(source, Options(**options))


def test_json_that_is_no_lines_is_no_conll(tmp_path):
    with pytest.raises(UserError, match="a.json: write an object a line"):
        read(OwnFiles(write(tmp_path, "a.json", '[{"text": "Анна"}]')), Options())


def test_a_csv_file_is_no_conll(tmp_path):
    with pytest.raises(UserError, match="a CSV file has no entities"):
        read(OwnFiles(write(tmp_path, "train.csv.gz", "text,label\n")), Options())
