"""The trained vocabulary: its exact size, its alphabet, and its files."""

import pytest
from transformers import AutoTokenizer

from distillation.config.errors import UserError
from distillation.models.tokenizer_file import save_tokenizer
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, train_tokenizer


@pytest.mark.parametrize("size", [120, 121, 800])
def test_the_vocabulary_has_exactly_the_size_asked_for(corpus_lines, size):
    """Another size gives another model; a character that is no entry, at a word's start or inside, unknown tokens."""
    tokenizer = train_tokenizer(corpus_lines, size)
    vocabulary = tokenizer.get_vocab()
    assert len(tokenizer) == len(vocabulary) == size
    assert sorted(vocabulary.values()) == list(range(size))
    assert [vocabulary[token] for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    for line, read in zip(corpus_lines, tokenizer(corpus_lines)["input_ids"], strict=True):
        assert tokenizer.decode(read[1:-1]).replace(" ", "") == line.replace(" ", "")
    assert {".", "?", "—", "а", "##а"} <= set(vocabulary)
    assert not {"##.", "##?", "##—"} & set(vocabulary), "the splitter makes a word of each mark"


def test_case_and_accents_are_kept():
    """BERT's default would lower the case, and strip й to и and ё to е: other words in Russian."""
    tokenizer = train_tokenizer(["Йод и Ёж, йод и ёж, их ели", "café"] * 20, 60)
    assert "".join(tokenizer.tokenize("Йод Ёж ёж йод café")).replace("##", "") == "ЙодЁжёжйодcafé"
    assert len({tuple(tokenizer(word)["input_ids"]) for word in ("ёж", "еж", "Ёж", "йод", "Йод", "иод")}) == 6


def test_lower_case_keeps_accents(tmp_path):
    """й is no и in lower case either, in the saved files too."""
    lines = ["Йод и Ёж, йод и ёж, их ели"] * 20
    save_tokenizer(train_tokenizer(lines, 38, lowercase=True), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.decode(tokenizer("Йод Ёж ёж", add_special_tokens=False)["input_ids"]) == "йод ёж ёж"
    assert tokenizer.init_kwargs["do_lower_case"] and tokenizer.init_kwargs["strip_accents"] is False
    assert not any(token != token.lower() for token in tokenizer.get_vocab() if token not in SPECIAL_TOKENS)


def test_the_most_frequent_merges_come_first_and_the_rarest_characters_stay_unknown():
    """One character of ten thousand must not take two entries of a small vocabulary."""
    tokenizer = train_tokenizer(["да да да нет"] * 4000 + ["丂"], 5 + 5 + 5 + 2)
    inner = [f"##{character}" for character in "адент"]
    assert tokenizer.convert_ids_to_tokens(range(5, 17)) == [*"адент", *inner, "##да", "да"]


def test_sizes_that_cannot_be_are_refused(corpus_lines):
    with pytest.raises(UserError, match=r"`vocab_size` 50 cannot hold the corpus's alphabet, which takes \d+"):
        train_tokenizer(corpus_lines, 50)
    with pytest.raises(UserError, match=r"`vocab_size` 30,000 is more than this corpus yields") as caught:
        train_tokenizer(corpus_lines[:50], 30_000)
    most = int(str(caught.value).split("(")[1].split(")")[0].replace(",", ""))
    assert len(train_tokenizer(corpus_lines[:50], most)) == most


def test_equal_corpora_give_equal_vocabularies(corpus_lines):
    """A vocabulary that changes from run to run makes every checkpoint useless to the next."""
    first, second = (train_tokenizer(iter(lines), 300).get_vocab() for lines in (corpus_lines, corpus_lines[::-1]))
    assert first == second


def test_saved_tokenizers_read_alike(tmp_path, corpus_lines, tokenizer, byte_tokenizer):
    """Users load with AutoTokenizer. Beside a byte-level tokenizer vocab.txt would be taken for WordPiece."""
    lines = [*corpus_lines, "Йод, ёж! café 中 [MASK]"]
    for name, saved in (("words", tokenizer), ("bytes", byte_tokenizer)):
        save_tokenizer(saved, tmp_path / name)
        loaded = AutoTokenizer.from_pretrained(tmp_path / name)
        assert loaded(lines)["input_ids"] == saved(lines)["input_ids"]
        assert loaded.get_vocab() == saved.get_vocab() and loaded.model_max_length == saved.model_max_length
    tokens = (tmp_path / "words" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert {token: index for index, token in enumerate(tokens)} == tokenizer.get_vocab()
    assert not (tmp_path / "bytes" / "vocab.txt").exists()
