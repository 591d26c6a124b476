"""The trained Unigram vocabulary: its exact size, its bytes, its spaces, and its files."""

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from distillation.config.errors import UserError
from distillation.models.tokenizer_file import save_tokenizer
from distillation.vocabularies.unigram import BYTES, train_tokenizer
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS


@pytest.fixture(scope="module")
def unigram(corpus_lines):
    return train_tokenizer(corpus_lines, 500)


def test_sizes_are_exact_or_refused(corpus_lines):
    """Another size gives another model, and one that cannot be has to fail before any training."""
    with pytest.raises(UserError, match=r"`vocab_size` 270 cannot hold the corpus's alphabet, 256 bytes") as caught:
        train_tokenizer(corpus_lines, 270)
    least = int(str(caught.value).split("take ")[1].split(" ")[0])
    with pytest.raises(UserError, match=r"`vocab_size` 30,000 is more than this corpus yields") as caught:
        train_tokenizer(corpus_lines[:50], 30_000)
    most = int(str(caught.value).split("(")[1].split(")")[0].replace(",", ""))
    for lines, size in ((corpus_lines, least), (corpus_lines, 501), (corpus_lines[:50], most)):
        tokenizer = train_tokenizer(lines, size)
        assert sorted(tokenizer.get_vocab().values()) == list(range(size)) and len(tokenizer) == size
        assert tokenizer.convert_ids_to_tokens(range(261)) == [*SPECIAL_TOKENS, *BYTES]


def test_nothing_is_unknown(unigram, corpus_lines):
    for text in (*corpus_lines[:50], "Да 😀 東京, да😀нет — café İ", "Йод и Ёж (йод и ёж)"):
        ids = unigram(text, add_special_tokens=False)["input_ids"]
        assert unigram.unk_token_id not in ids and unigram.decode(ids) == text


def test_frequent_words_are_one_token(unigram, corpus_lines):
    """sentencepiece's own candidates leave out a frequent word that stands in no longer one."""
    tokenizer = train_tokenizer(["кот спит", "пёс ест"] * 50 + corpus_lines, 500)
    assert tokenizer.tokenize("кот, пёс ест") == ["▁кот", ",", "▁пёс", "▁ест"]


def test_lower_case_keeps_accents(corpus_lines):
    """BERT's default would make и of й, and е of ё: other words in Russian."""
    tokenizer = train_tokenizer([*corpus_lines, "Йод и Ёж, йод и ёж"], 400, lowercase=True)
    assert tokenizer.decode(tokenizer("Йод Ёж Иод Еж", add_special_tokens=False)["input_ids"]) == "йод ёж иод еж"


def test_the_mask_stands_for_a_word_and_its_space(unigram):
    """Training replaces tokens by masks: a text with a mask has to give the same tokens."""
    read = lambda text: unigram(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    before, word, after = "Мама", " мыла", " раму, а папа"
    expected = [*read(before), unigram.mask_token_id, *read(before + word + after)[len(read(before + word)) :]]
    assert read(f"{before} [MASK]{after}") == expected
    assert read("[MASK], да")[1] == unigram.convert_tokens_to_ids(",")


def test_no_text_gives_a_special_token_or_a_byte(unigram):
    """The vocabulary holds them as pieces: a text about [MASK] would hide a word."""
    ids = unigram("[MASK] <0x41> [PAD]", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert not {*unigram.all_special_ids} & {*ids} and unigram.decode(ids) == "[MASK] <0x41> [PAD]"


def test_equal_corpora_give_equal_files(corpus_lines, tmp_path, unigram):
    """A vocabulary that changes from run to run makes every checkpoint useless to the next."""
    save_tokenizer(train_tokenizer(corpus_lines[::-1], 500), tmp_path / "again")
    save_tokenizer(unigram, tmp_path / "first")
    assert len({(tmp_path / name / "tokenizer.json").read_bytes() for name in ("first", "again")}) == 1


def test_a_saved_one_reads_alike(unigram, corpus_lines, tmp_path):
    """With transformers and, where a model is deployed, with the tokenizers library alone."""
    save_tokenizer(unigram, tmp_path)
    loaded, bare = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    lines = [*corpus_lines[:50], "  Йод,\tёж! 東 [MASK], да [MASK] "]
    for text in lines:
        read = unigram(text, lines[0])
        assert loaded(text, lines[0]) == read and bare.encode(text, lines[0]).ids == read["input_ids"]
    assert loaded.get_vocab() == unigram.get_vocab()
    assert loaded.special_tokens_map == unigram.special_tokens_map and "token_type_ids" in loaded.model_input_names
