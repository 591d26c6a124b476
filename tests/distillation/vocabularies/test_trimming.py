"""A text whose tokens all stayed is cut as before, whatever the kind of tokenizer; nothing that is needed goes."""

import json
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from distillation.config.errors import UserError
from distillation.models.initialisation import translate
from distillation.models.loading import load_tokenizer
from distillation.models.tokenizer_file import save_tokenizer
from distillation.vocabularies.mapping import VocabularyMap
from distillation.vocabularies.trimming import Trimmer
from tests.texts import demo_lines

KINDS = ("tokenizer", "byte_tokenizer", "unigram_tokenizer")
TEXTS = demo_lines(1000)[400:]  # after those that the tokenizers were trained on


@pytest.fixture(params=KINDS)
def trimmer(request):
    return Trimmer(request.getfixturevalue(request.param))


def trimmed(trimmer, share, lines):
    """Numbers that stay of the tokenizer, and the tokenizer of them; share: of those that need not."""
    words = trimmer.words(lines)
    required = trimmer.required(trimmer.count(words))
    size = len(required) + int(share * (len(trimmer.numbers) - len(required)))
    kept = trimmer.shrink(words, required, [size])[size]
    assert len(kept) == size
    return kept, trimmer.trim(kept)


@settings(max_examples=25)
@given(share=st.floats(0, 1), seed=st.integers(0, 10**6), data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_kept_tokens_is_cut_as_before(kind, share, seed, data, request):
    """The law: for each kind of tokenizer, each size, and tokens that any corpus chooses."""
    trimmer = Trimmer(request.getfixturevalue(kind))
    kept, smaller = trimmed(trimmer, share, random.Random(seed).sample(TEXTS, 20))
    texts = [*TEXTS, data.draw(st.text(st.sampled_from("аимнопрт ,.b1é№"), max_size=30))]
    before, after = (one(texts)["input_ids"] for one in (trimmer.tokenizer, smaller))
    stays = set(kept)
    alike = [[kept[number] for number in new] == old for old, new in zip(before, after, strict=True)]
    assert all(same for same, old in zip(alike, before, strict=True) if stays.issuperset(old))
    assert any(stays.issuperset(old) for old in before) or share < 1


def test_a_student_takes_the_rows_of_the_tokens_that_stay(trimmer):
    """Of all of them, also of parts of a letter, of a lone word marker, and of special tokens."""
    kept, smaller = trimmed(trimmer, 0.5, TEXTS)
    rows = torch.randn(len(trimmer.tokenizer), 3)
    taken, known = translate(rows, VocabularyMap(smaller, trimmer.tokenizer))
    assert known.all() and torch.equal(taken, rows[torch.tensor(kept)])


def test_the_alphabet_of_the_corpus_stays(trimmer):
    """At the least size no word of the corpus becomes unknown, and a saved tokenizer reads as the one in memory."""
    _, smaller = trimmed(trimmer, 0, TEXTS)
    unknown = smaller.unk_token_id
    assert not any(unknown in ids for ids in smaller(TEXTS)["input_ids"])
    assert smaller.mask_token_id == smaller.convert_tokens_to_ids("[MASK]")
    assert smaller("Мама", return_tensors="np")["input_ids"][0, 0] == smaller.cls_token_id


def test_a_saved_tokenizer_reads_as_the_one_in_memory(trimmer, tmp_path):
    _, smaller = trimmed(trimmer, 0.5, TEXTS)
    save_tokenizer(smaller, tmp_path)
    assert load_tokenizer(str(tmp_path), "x")(TEXTS)["input_ids"] == smaller(TEXTS)["input_ids"]


def test_tokens_that_a_tokenizer_needs_stay_though_nothing_declares_them(trimmer):
    """Files made by hand name the unknown token, and those around a text, without adding them as special tokens."""
    bare = Tokenizer.from_str(json.dumps(trimmer.state | {"added_tokens": []}))
    kept, smaller = trimmed(Trimmer(PreTrainedTokenizerFast(tokenizer_object=bare)), 0, TEXTS)
    before, after = (one(["", "日"])["input_ids"] for one in (trimmer.tokenizer, smaller))
    assert [[kept[number] for number in ids] for ids in after] == before


def test_all_bytes_stay_where_the_normaliser_makes_them(byte_tokenizer):
    state = json.loads(byte_tokenizer.backend_tokenizer.to_str())
    state |= {"normalizer": {"type": "ByteLevel"}, "pre_tokenizer": None}
    normalising = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)))
    _, smaller = trimmed(Trimmer(normalising), 0, [])
    assert len(smaller.tokenize("日")) == 3


def test_tokens_are_counted(trimmer):
    """As they are in a text, by all tokens and by some."""
    words = trimmer.words(TEXTS)
    kept, smaller = trimmed(trimmer, 0.5, TEXTS)
    for tokenizer, counts in ((trimmer.tokenizer, trimmer.count(words)), (smaller, trimmer.count(words, kept)[kept])):
        ids = [number for ids in tokenizer(TEXTS, add_special_tokens=False)["input_ids"] for number in ids]
        assert np.array_equal(counts, np.bincount(ids, minlength=len(counts)))


def test_named_tokens_stay_and_a_share_of_the_corpus_is_covered(tokenizer):
    trimmer = Trimmer(tokenizer)
    words = trimmer.words(TEXTS)
    counts = trimmer.count(words)
    rare = min((n for t, n in trimmer.numbers.items() if len(t) > 4 and t[0] not in "[#"), key=lambda n: counts[n])
    required = trimmer.required(counts, [tokenizer.convert_ids_to_tokens(rare)])
    least = len(required)
    assert rare in trimmer.shrink(words, required, [least])[least]
    covered = trimmer.cover(counts, required, 0.9)
    assert 0.9 <= counts[covered].sum() / counts.sum() < 0.95
    others = [n for n in range(len(counts)) if n not in covered]
    assert counts[others].max() <= min(counts[n] for n in covered if n not in required)
    for size in (least - 1, len(tokenizer) + 1):
        with pytest.raises(UserError, match=f"alphabet, and `keep_file` take {least:,}, "):
            trimmer.shrink(words, required, [least, size])


def test_a_named_line_is_cut_as_before(unigram_tokenizer, byte_tokenizer):
    """At the start of a text, and behind a space: of `кот` a vocabulary may have the middle of a word as well."""
    for tokenizer in (unigram_tokenizer, byte_tokenizer):
        trimmer = Trimmer(tokenizer)
        words = trimmer.words(TEXTS)
        required = trimmer.required(trimmer.count(words), ["кот"])
        for text in ("кот", "и кот"):
            assert set(tokenizer(text[text.find("к") - 1 :] if " " in text else text)["input_ids"]) <= required


def of_words(*words):
    """The trimmer of a WordPiece vocabulary, and the numbers of its alphabet, which stay."""
    backend = Tokenizer(WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    trimmer = Trimmer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"))
    return trimmer, {number for number, word in enumerate(words) if word == "[UNK]" or len(word.strip("#")) == 1}


def test_a_token_counts_by_what_it_saves():
    """Worked by hand: кот occurs three times and saves one token each, дом once and saves two."""
    words = ["[UNK]", "к", "д", "##о", "##т", "##м", "##ы", "##от", "##ты", "дом", "кот"]
    trimmer, required = of_words(*words)
    found = trimmer.shrink(trimmer.words(["кот дом", "кот", "коты"]), required, [8, 9, 10])
    assert [{words[number] for number in found[size]} - {*words[:7]} for size in (10, 9, 8)] == [
        {"кот", "дом", "##от"},
        {"кот", "дом"},
        {"кот"},
    ]
    assert [trimmer._pieces(word, {*words}) for word in ("кот", "##ты", "к")] == [2, 2, 1]


def test_what_is_left_is_counted_again():
    """де is more frequent than аб, until the words that begin with аб have lost their tokens."""
    words = ["[UNK]", "а", "д", "##б", "##в", "##г", "##д", "##е", "де", "аб", "абв", "абг", "абд", "абе", *"zyxwvu"]
    trimmer, required = of_words(*(2 * word if word in "zyxwvu" else word for word in words))
    texts = ["де"] * 4 + ["аб"] * 3 + ["абв абг абд абе"] * 2
    found = trimmer.shrink(trimmer.words(texts), required, [10, 9])
    assert [words[number] for number in found[10][8:]] == ["де", "аб"]
    assert [words[number] for number in found[9][8:]] == ["аб"]


def test_merges_keep_what_they_join(byte_tokenizer):
    """Else a kept token could not be made any more."""
    trimmer = Trimmer(byte_tokenizer)
    counts = np.zeros(len(byte_tokenizer), dtype=np.int64)
    longest = max(trimmer.parts, key=lambda number: len(byte_tokenizer.convert_ids_to_tokens(number)))
    counts[longest] = 1
    required = trimmer.required(counts)
    smaller = trimmer.trim(trimmer.cover(counts, required, 1.0))
    word = byte_tokenizer.decode([longest])
    assert len(smaller) > len(required) + 1 and len(smaller.tokenize(word)) == 1
