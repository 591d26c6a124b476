"""The laws of two tokenizations of a text: what is compared is the same text, whatever the tokens."""

import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer

from distillation.vocabularies import unigram
from distillation.vocabularies.wordpiece import build_tokenizer
from tests.distillation.vocabularies.pairs import (
    SPECIALS,
    Pair,
    entries,
    read,
    slow,
    surface,
    word_piece,
    words,
)

sentences = st.lists(words | st.sampled_from([",", "«", "-", "."]), min_size=1, max_size=8)
sentences = st.tuples(sentences, st.lists(st.sampled_from([" ", ""]), min_size=8, max_size=8))
sentences = sentences.map(lambda s: "".join(a + b for a, b in zip(*s, strict=False)).strip())


@slow
@given(a=entries, b=entries, text=sentences)
def test_pairs_are_those_of_a_double_loop_and_pieces_tile_the_text(a, b, text):
    """The student must read each character once, as part of the teacher's token that holds it, and words must start
    where they do in the text."""
    pair = Pair(word_piece(a), word_piece(b))
    pairs, pieces, comparable = pair.compare(text)
    student, teacher = (
        list(zip(t.convert_ids_to_tokens(ids), spans.tolist(), strict=True))
        for t, (ids, spans) in ((t, read(t, text)) for t in (pair.student, pair.teacher))
    )
    assert pairs == [(i, j) for i in range(len(student)) for j in range(len(teacher)) if student[i] == teacher[j]]
    assert all(comparable)
    for (token, span), spelling in zip(teacher, pieces, strict=True):
        tokens = pair.student.convert_ids_to_tokens(spelling)
        assert "".join(t.removeprefix("##") for t in tokens) == text[slice(*span)]
        assert [t.startswith("##") for t in tokens] == [token.startswith("##")] + [True] * (len(tokens) - 1)
    assert "".join(text[slice(*span)] for _, span in teacher) == text.replace(" ", "")


def test_a_text_by_hand():
    """The teacher's word goes on where the student's starts: their tokens look alike and are not compared."""
    student = build_tokenizer([*SPECIALS, "да", "##да", "##а", "д", "-", "нет", "н"])
    teacher = build_tokenizer([*SPECIALS, "дада", "да", "-", "н", "##е", "##т"])
    pairs, pieces, comparable = Pair(student, teacher).compare("дада да-нет")
    # student: да ##да да - нет; teacher: дада да - н ##е ##т
    assert pairs == [(2, 1), (3, 2)]
    assert comparable == [True, True, True, True, False, False]
    spellings = [student.convert_ids_to_tokens(piece) for piece in pieces]
    assert spellings == [["да", "##да"], ["да"], ["-"], ["н"], ["[UNK]"], ["[UNK]"]]


PIECES = [
    *("стол", "студент", " студенты ", " увидел", "Где ", " ", "ё", "е\u0308", "й", "и\u0306", "о\u0301"),
    *("\u00ad", "\u00a0", "\u200b", "\u200d", "\u2028", ",", ".", "...", "«", "-", " — ", "▁", "#"),
    *("👩\u200d👩\u200d👧", "❤️", "👍🏽", "ﬁ", "½", "™", "ﷺ", "中", "か\u3099", "abc", "XYZ", "12", "столstol"),
]
texts = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
texts = texts.map("".join).filter(str.strip)
KINDS = ["WordPiece", "byte-level BPE", "Unigram"]
PAIRS = [*((a, b) for a in KINDS for b in KINDS), ("ours", "WordPiece"), ("ours", "ours")]  # ours: with byte fallback


@pytest.fixture(scope="module")
def pairs_of_kinds(corpus_lines, tokenizer, byte_tokenizer, unigram_tokenizer):
    readers = dict(zip(KINDS, (tokenizer, byte_tokenizer, unigram_tokenizer), strict=True))
    readers["ours"] = unigram.train_tokenizer(corpus_lines, 500)
    return {(a, b): Pair(readers[a], readers[b]) for a, b in PAIRS}


kinds = pytest.mark.parametrize("kinds", PAIRS, ids=" ".join)


@kinds
@slow
@given(text=texts)
def test_compared_tokens_stand_for_the_same_text(pairs_of_kinds, kinds, text):
    """In any script, composed or not: what is compared is the same characters, read alike."""
    pair = pairs_of_kinds[kinds]
    student, teacher = pair.student, pair.teacher
    pairs, pieces, comparable = pair.compare(text)
    (a, a_spans), (b, b_spans) = read(student, text), read(teacher, text)

    def readings(span):
        """What the characters of a span are to either; the span of a composed letter leaves its accents out."""
        end = next((i for i in range(span[1], len(text)) if not unicodedata.combining(text[i])), len(text))
        parts = {text[slice(*span)], text[span[0] : end]}
        normalizers = [t.backend_tokenizer.normalizer for t in (student, teacher)]
        return parts | {n.normalize_str(part).strip() for n in normalizers if n for part in parts}

    assert len(pieces) == len(b)
    for i, j in pairs:
        assert a_spans[i].tolist() == b_spans[j].tolist()
        assert surface(student, a[i]) == surface(teacher, b[j]) in readings(a_spans[i].tolist())
        assert int(a[i]) not in student.all_special_ids
    assert sorted({j for _, j in pairs}) == [j for _, j in pairs]
    for j, (spelling, compared) in enumerate(zip(pieces, comparable, strict=True)):
        if compared:
            spelt = "".join(surface(student, piece) for piece in spelling)
            assert spelt == surface(teacher, b[j]) in readings(b_spans[j].tolist())
            assert not set(spelling.tolist()) & set(student.all_special_ids)


@pytest.mark.parametrize("kind", KINDS)
def test_one_tokenizer_on_both_sides_meets_everywhere(pairs_of_kinds, corpus_lines, kind):
    """Else `match` and `reduce` could not be plain KL there."""
    pair = pairs_of_kinds[kind, kind]
    vocabulary, tokenizer = pair.vocabulary, pair.student
    shared = vocabulary.shared_teacher_ids
    assert torch.equal(shared, vocabulary.shared_student_ids) and torch.equal(shared, vocabulary.mapped_teacher_ids)
    for text in corpus_lines[:20]:
        ids, spans = read(tokenizer, text)
        pairs, pieces, comparable = pair.compare(text)
        # A lone space, a part of a character, and the unknown token have no text of their own.
        surfaces = [surface(tokenizer, i) if i != tokenizer.unk_token_id else "" for i in ids]
        # At the start of a text the lone marker has the first letter's characters, and neither is compared.
        start = 2 if spans[0].tolist() == spans[1].tolist() else 0
        ordinary = [i for i in range(start, len(ids)) if surfaces[i] and "\ufffd" not in surfaces[i]]
        assert pairs == [(i, i) for i in ordinary]
        assert [i for i, flag in enumerate(comparable) if flag] == ordinary
        assert all(pieces[i].tolist() == [ids[i]] for i in ordinary)


@kinds
def test_plain_text_is_compared_for_the_most_part(pairs_of_kinds, corpus_lines, kinds):
    """A rule too many would leave nothing to learn from. Marks behind a word are the most frequent tokens of all."""
    pair, text = pairs_of_kinds[kinds], "Мама мыла раму, а папа читал."
    found = [pair.compare(line) for line in corpus_lines[:40]]
    flags = [flag for _, _, comparable in found for flag in comparable]
    assert sum(flags) > 0.6 * len(flags)
    assert sum(len(pairs) for pairs, _, _ in found) > 0.2 * len(flags)
    flags = zip(pair.compare(text)[2], read(pair.teacher, text)[1].tolist(), strict=True)
    assert [flag for flag, span in flags if text[slice(*span)] in (",", ".")] == [True, True]


CASED = dict(do_lower_case=False, strip_accents=False)
UNCASED = dict(do_lower_case=True, strip_accents=False)
BARE = dict(do_lower_case=False, strip_accents=True)
TEXTS = ("Ёлка ёж да", "е\u0308ж да")
COMPARED = [
    *((how, how, text, text) for how in (CASED, UNCASED, BARE) for text in TEXTS),
    (CASED, UNCASED, TEXTS[0], "ёж да"),
    *((student, CASED, text, text) for student in (UNCASED, BARE) for text in TEXTS),
    *((student, BARE, text, "да") for student in (CASED, UNCASED) for text in TEXTS),
]


@pytest.mark.parametrize(("student", "teacher", "text", "compared"), COMPARED, ids=str)
def test_words_that_a_teacher_changes_are_not_compared(student, teacher, text, compared):
    """An uncased teacher's "ёлка" is not a cased student's "Ёлка", and accents are letters, composed or not. What the
    student changes is compared: it reads a cased teacher's "Ёлка" as "ёлка"."""
    pair = Pair(bert(student), bert(teacher))
    pairs, _, comparable = pair.compare(text)
    expected = [text.split().index(word) for word in compared.split()]
    assert pairs == [(i, i) for i in expected]
    assert [j for j, flag in enumerate(comparable) if flag] == expected
    # An uncased vocabulary may hold a capital all the same, which is never in its input.
    assert student is not UNCASED or "Ёлка" not in dict(pair.shared())


def bert(how):
    """With those of the words that it writes: a vocabulary is made of normalised text."""
    words = ("Ёлка", "ёлка", "Елка", "елка", "ёж", "е\u0308ж", "еж", "да")
    normalize = BertTokenizer(vocab=dict.fromkeys(SPECIALS, 0), **how).backend_tokenizer.normalizer.normalize_str
    tokens = [*SPECIALS, *(word for word in words if normalize(word) == word)]
    return BertTokenizer(vocab={token: i for i, token in enumerate(tokens)}, **how)


def test_a_word_behind_a_lone_mark_is_compared():
    """A small Unigram vocabulary has few words with their space: it cuts the others into "▁" and what follows."""
    student = unigram.build_tokenizer([("▁", -1.0), ("дом", -1.0), ("▁а", -1.0), ("а", -1.0)])
    pair = Pair(student, build_tokenizer([*SPECIALS, "а", "дом", "##а"]))
    _, pieces, comparable = pair.compare("а дома дом")
    assert comparable == [True] * 4
    assert [student.convert_ids_to_tokens(one) for one in pieces] == [["▁а"], ["▁", "дом"], ["а"], ["▁", "дом"]]
