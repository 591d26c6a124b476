"""The trained vocabulary: its exact size, its alphabet, and its files."""

import pytest
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from distillation.config.errors import UserError
from distillation.models.loading import save_pretrained
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer, count_words, measure, train_tokenizer


@pytest.mark.parametrize("size", [120, 121, 257, 800])
def test_the_vocabulary_has_exactly_the_size_asked_for(corpus_lines, size):
    """A vocabulary of another size than the recipe says gives a model of another size."""
    tokenizer = train_tokenizer(corpus_lines, size, 64)
    vocabulary = tokenizer.get_vocab()
    assert len(tokenizer) == len(vocabulary) == size
    assert sorted(vocabulary.values()) == list(range(size))
    assert [vocabulary[token] for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    assert tokenizer.model_max_length == 64


def test_the_training_text_has_no_unknown_token(corpus_lines):
    """Every character, at a word's start and inside, is an entry, however small the vocabulary."""
    tokenizer = train_tokenizer(corpus_lines, 130, 64)
    ids = tokenizer(corpus_lines)["input_ids"]
    assert not any(tokenizer.unk_token_id in line for line in ids)
    for line, read in zip(corpus_lines, ids, strict=True):
        assert tokenizer.decode(read[1:-1]).replace(" ", "") == line.replace(" ", "")


def test_a_larger_vocabulary_needs_fewer_tokens(corpus_lines):
    """Merges that are never used would fill the vocabulary for nothing."""
    counts = [sum(map(len, train_tokenizer(corpus_lines, n, 64)(corpus_lines)["input_ids"])) for n in (120, 300, 1200)]
    assert counts[0] > 1.5 * counts[1] > 2 * counts[2]


def test_punctuation_has_no_form_inside_words(corpus_lines):
    """The splitter makes a word of each punctuation mark, so ##, could never occur."""
    vocabulary = train_tokenizer(corpus_lines, 300, 64).get_vocab()
    assert {".", "?", "—", "а", "##а"} <= set(vocabulary)
    assert not {"##.", "##?", "##—"} & set(vocabulary)


def test_case_and_accents_are_kept():
    """BERT's default would lower the case, and strip й to и and ё to е: other words in Russian."""
    lines = ["Йод и Ёж, йод и ёж, их ели", "café"] * 20
    tokenizer = train_tokenizer(lines, 60, 64)
    tokens = tokenizer.tokenize("Йод Ёж ёж йод café")
    assert "".join(tokens).replace("##", "") == "ЙодЁжёжйодcafé"
    assert tokenizer("ёж")["input_ids"] != tokenizer("еж")["input_ids"]
    assert tokenizer("йод")["input_ids"] != tokenizer("Йод")["input_ids"]


def test_the_commonest_merges_come_first():
    """Hand-worked: behind the alphabet comes the commonest pair, by itself and then at a word's start."""
    tokenizer = train_tokenizer(["да да да нет"], 5 + 5 + 5 + 2, 64)
    assert tokenizer.convert_ids_to_tokens(range(5, 17)) == [
        *("а", "д", "е", "н", "т"), *("##а", "##д", "##е", "##н", "##т"), "##да", "да"
    ]  # fmt: skip


def test_the_rarest_characters_stay_unknown():
    """One character of ten thousand must not take two entries of a small vocabulary."""
    lines = ["да нет"] * 4000 + ["丂"]
    vocabulary = train_tokenizer(lines, 17, 64).get_vocab()
    assert "丂" not in vocabulary and "##т" in vocabulary


def test_words_are_counted_as_the_tokenizer_splits_them():
    """Merges across punctuation could never be used."""
    assert count_words(["да, да-нет!"]) == {"да": 2, "нет": 1, ",": 1, "-": 1, "!": 1}


def test_an_alphabet_that_does_not_fit_is_refused(corpus_lines):
    """The message has to say how many entries the alphabet takes."""
    with pytest.raises(UserError, match=r"`vocab_size` 50 cannot hold the corpus's alphabet, which takes \d+"):
        train_tokenizer(corpus_lines, 50, 64)


def test_a_corpus_too_small_for_the_vocabulary_is_refused(corpus_lines):
    """A vocabulary padded with nothing would be a model with dead rows."""
    with pytest.raises(UserError, match=r"`vocab_size` 30,000 is more than this corpus yields \([\d,]+\)"):
        train_tokenizer(corpus_lines, 30_000, 64)


def test_what_the_corpus_yields_can_be_asked_for(corpus_lines):
    """The number in the message is the largest size that works."""
    with pytest.raises(UserError) as caught:
        train_tokenizer(corpus_lines[:50], 30_000, 64)
    most = int(str(caught.value).split("(")[1].split(")")[0].replace(",", ""))
    assert len(train_tokenizer(corpus_lines[:50], most, 64)) == most
    with pytest.raises(UserError):
        train_tokenizer(corpus_lines[:50], most + 1, 64)


def test_equal_corpora_give_equal_vocabularies(corpus_lines):
    """A vocabulary that changes from run to run makes every checkpoint useless to the next."""
    first, second = (train_tokenizer(iter(corpus_lines), 300, 64).get_vocab() for _ in range(2))
    assert first == second
    assert train_tokenizer(corpus_lines[::-1], 300, 64).get_vocab() == first


def test_saved_tokenizers_read_alike(tmp_path, corpus_lines, tokenizer):
    """Users load with AutoTokenizer: another class or case there would feed the model other ids."""
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    lines = [*corpus_lines, "Йод, ёж! café 中 [MASK]"]
    assert loaded(lines)["input_ids"] == tokenizer(lines)["input_ids"]
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert (loaded.model_max_length, loaded.mask_token, loaded.is_fast) == (64, "[MASK]", True)


def test_checkpoints_hold_vocab_txt_in_the_order_of_ids(tmp_path):
    """Tools that read vocab.txt take the line for the id."""
    tokens = [*SPECIAL_TOKENS, "я", "а", "##в", "б"]
    tokenizer = build_tokenizer(tokens, 64)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    save_pretrained(BertForMaskedLM(BertConfig(vocab_size=9, **shape)), tokenizer, tmp_path)
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").splitlines() == tokens
    assert AutoTokenizer.from_pretrained(tmp_path)("яв б")["input_ids"] == [2, 5, 7, 8, 3]


def test_other_tokenizers_get_no_vocab_txt(tmp_path, byte_tokenizer):
    """A vocab.txt beside a byte-level tokenizer would be taken for WordPiece."""
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    save_pretrained(BertForMaskedLM(BertConfig(vocab_size=len(byte_tokenizer), **shape)), byte_tokenizer, tmp_path)
    assert not (tmp_path / "vocab.txt").exists()


def test_figures_by_hand():
    """Two words of one and two tokens and one unknown: 4 tokens, a quarter unknown, in a third of the words."""
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, "а", "б", "##в"], 16)
    assert measure(tokenizer, ["а бв", "г"]) == {
        "entries": 8,
        "tokens_per_word": pytest.approx(4 / 3),
        "unknown_tokens": pytest.approx(1 / 4),
        "unknown_words": pytest.approx(1 / 3),
    }
