"""Tokenizers read text and number tokens as their files say, or one line says that they do not."""

import json
import shutil

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from distillation.models.loading import load_tokenizer
from distillation.models.tokenizer_file import SAMPLE, save_tokenizer
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS


@pytest.fixture
def folder(teacher_folder, tmp_path):
    """A copy of a BERT with its tokenizer."""
    return shutil.copytree(teacher_folder, tmp_path / "teacher")


@pytest.fixture
def change(folder):
    """A function that changes a JSON file of it."""

    def change(name, function):
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        function(content)
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    return change


def test_a_vocabulary_that_repeats_a_line_keeps_its_numbers(folder, tmp_path):
    """One number has no token. Numbers up to `len` would end in the middle of a run, and shift vocab.txt."""
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "он", "она", "он", "дом", ""]), encoding="utf-8")
    loaded = load_tokenizer(str(folder), "key")
    assert loaded("дом", add_special_tokens=False)["input_ids"] == [8] and len(loaded) == 9
    save_tokenizer(loaded, tmp_path / "saved")
    lines = (tmp_path / "saved" / "vocab.txt").read_text(encoding="utf-8").split()
    again = AutoTokenizer.from_pretrained(tmp_path / "saved").get_vocab()
    assert again == {line: number for number, line in enumerate(lines)} and again["он"] == 7


@pytest.mark.parametrize("named", [True, False])
def test_a_vocabulary_that_its_normaliser_contradicts(named, folder, caplog):
    """transformers lowers case and takes marks off where tokenizer_config.json does not say otherwise."""
    (folder / "tokenizer.json").unlink()
    if not named:
        (folder / "tokenizer_config.json").unlink()
    load_tokenizer(str(folder), "teacher")
    assert [m for m in caplog.messages if "`teacher`" in m and "can never occur" in m] == caplog.messages
    assert len(caplog.messages) == (not named)


def _digits(content):
    split = {"type": "Digits", "individual_digits": True}
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [content["pre_tokenizer"], split]}


def _nfkc(content):
    content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, content["normalizer"]]}


def _silent(content):  # the class lowers case where nothing is said
    del content["do_lower_case"], content["strip_accents"]


@pytest.mark.parametrize(
    ("name", "difference"),
    [("tokenizer.json", _digits), ("tokenizer.json", _nfkc), ("tokenizer_config.json", _silent)],
)
def test_text_is_read_as_the_file_says(name, difference, folder, change, caplog, tmp_path):
    """transformers 5 takes the vocabulary from tokenizer.json and builds the rest as the class has it."""
    change(name, difference)
    texts, own = list(SAMPLE), Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = [own.encode(text).ids for text in texts]
    assert AutoTokenizer.from_pretrained(folder)(texts)["input_ids"] != expected
    loaded = load_tokenizer(str(folder), "key")
    assert "by its own tokenizer.json" in caplog.text
    shutil.copy(folder / "config.json", tmp_path)
    save_tokenizer(loaded, tmp_path)
    for tokenizer in (loaded, AutoTokenizer.from_pretrained(tmp_path)):
        assert tokenizer(texts)["input_ids"] == expected and tokenizer.mask_token == "[MASK]"


def test_options_of_tokenizer_config_count(folder, change, caplog):
    """A tokenizer.json that lowers case beside `do_lower_case: false`: transformers 4 and 5 both follow the latter."""
    change("tokenizer.json", lambda content: content["normalizer"].update(lowercase=True, strip_accents=True))
    assert load_tokenizer(str(folder), "key").backend_tokenizer.normalizer.lowercase is False
    assert not caplog.messages
