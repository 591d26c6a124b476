"""The laws of two vocabularies and two tokenizations: the same text, whatever the tokens."""

import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from distillation.config.errors import UserError
from distillation.corpus.examples import Reader
from distillation.models.shapes import map_vocabularies
from distillation.vocabularies import unigram
from distillation.vocabularies.mapping import VocabularyMap, matched, spell_tokens
from distillation.vocabularies.token_alignment import without_space
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

SPECIALS = list(SPECIAL_TOKENS)
LETTERS = "абвё"
slow = settings(max_examples=60, derandomize=True)
words = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=6).map("".join)
entries = st.lists(
    st.tuples(words.filter(lambda word: len(word) > 1), st.sampled_from(["", "##"])), max_size=12, unique=True
)
sentences = st.lists(words | st.sampled_from([",", "«", "-", "."]), min_size=1, max_size=8)
sentences = st.tuples(sentences, st.lists(st.sampled_from([" ", ""]), min_size=8, max_size=8))
sentences = sentences.map(lambda s: "".join(a + b for a, b in zip(*s, strict=False)).strip())


def word_piece(longer, letters=LETTERS, marks=",«-."):
    """Every letter, so that nothing is unknown, and some longer entries."""
    singles = [f"{prefix}{letter}" for prefix in ("", "##") for letter in letters]
    return build_tokenizer([*SPECIALS, *singles, *marks, *(prefix + word for word, prefix in longer)], 64)


def read(tokenizer, text):
    """Ids (n,) and spans (n, 2) without the white space that a token may hold."""
    ids, offsets = Reader(tokenizer).read([text], np.array([0, len(text)]))
    return torch.from_numpy(ids), without_space(text, offsets)


class Pair:
    """Two tokenizers and their map."""

    def __init__(self, student, teacher):
        self.student, self.teacher, self.vocabulary = student, teacher, VocabularyMap(student, teacher)

    def compare(self, text):
        """The pairs of `matched`, and for each teacher token its pieces and whether it is compared."""
        student, teacher = read(self.student, text), read(self.teacher, text)
        pairs = [(i, j) for i, j in enumerate(matched(self.vocabulary, student, teacher).tolist()) if j >= 0]
        spellings, comparable = spell_tokens(self.vocabulary, student, teacher, text)
        pieces = self.vocabulary.spell(spellings).split(self.vocabulary.sizes[spellings].tolist())
        return pairs, pieces, comparable.tolist()

    def shared(self):
        """The identical tokens, as each writes them."""
        ids = (self.student, self.vocabulary.shared_student_ids), (self.teacher, self.vocabulary.shared_teacher_ids)
        return list(zip(*(tokenizer.convert_ids_to_tokens(of) for tokenizer, of in ids), strict=True))


def surface(tokenizer, index):
    """The text of a token, by the tokenizer's own decoder."""
    token = tokenizer.convert_ids_to_tokens(int(index))
    if type(tokenizer.backend_tokenizer.model).__name__ == "BPE":
        token = decoders.ByteLevel().decode([token])
    return token.removeprefix("##").replace("▁", " ").strip(" ")


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


@slow
@given(a=entries, b=entries)
def test_a_mapped_token_is_its_pieces_longest_first(a, b):
    """The spelling of a token is what WordPiece makes of it, and the matrix says the same."""
    student, teacher = word_piece([entry for entry in a if "ё" not in entry[0]], letters="абв"), word_piece(b)
    pair = Pair(student, teacher)
    dense = pair.vocabulary.pieces.to_dense()
    for token, index in teacher.get_vocab().items():
        known, expected = index >= len(SPECIALS) and "ё" not in token, torch.zeros(len(student))
        assert bool(pair.vocabulary.is_mapped[index]) == known
        pieces = _inside(student, token[2:]) if token.startswith("##") else student.tokenize(token)
        for piece in student.convert_tokens_to_ids(pieces) if known else ():
            expected[piece] += 1
        assert torch.equal(dense[index], expected), token
    common = student.get_vocab().keys() & teacher.get_vocab().keys() - set(SPECIALS)
    assert set(pair.shared()) == {(token, token) for token in common}


def _inside(tokenizer, surface):  # WordPiece in the middle of a word
    pieces = []
    while surface:
        end = max((n for n in range(1, len(surface) + 1) if f"##{surface[:n]}" in tokenizer.get_vocab()), default=1)
        pieces.append(f"##{surface[:end]}")
        surface = surface[end:]
    return pieces


def byte_level(*surfaces):
    """Byte-level BPE with these entries (bytes, or text whose space belongs to the word) behind its special tokens."""
    written = bytes_to_unicode()
    roles = dict(bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>")
    surfaces = [surface if isinstance(surface, bytes) else surface.encode() for surface in surfaces]
    tokens = [*roles.values(), *("".join(written[byte] for byte in surface) for surface in surfaces)]
    bare = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    bare.pre_tokenizer, bare.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bare, **roles, cls_token="<s>", sep_token="</s>")


# What a byte-level token is in the student's pieces.
HAND = {" да": ["да"], "да": ["##да"], " дада": ["да", "##да"], "дада": ["##да", "##да"], " дан": ["да", "##н"]}
HAND |= {" д": ["д"], "...": [".", ".", "."], ",": [","], " ,": [","]}
HAND |= {".да": [".", "да"], "да.": ["##да", "."]}  # behind a mark a word begins
HAND |= {" 中": ["中"], "中": ["中"], "да中": ["##да", "中"]}  # ideographs are words of their own, wherever they stand
# Unknown letters, nothing but space, half a letter, what no text holds.
HAND |= dict.fromkeys(["ж", " дж", " ", "  ", b"\xd0", "д".encode() + b"\xd0", " [unused1]", "[MASK]"])


def test_a_vocabulary_by_hand():
    """Each kind of token that has gone wrong: a piece twice, marks, ideographs, bytes, and what no text holds."""
    entries = "да ##да д ##н . , ##, ##. ... 中 ##中 да中 [unused1] ##[unused1]".split()
    pair = Pair(build_tokenizer([*SPECIALS, *entries], 64), byte_level(*HAND))
    student, vocabulary = pair.student, pair.vocabulary
    assert (vocabulary.teacher_size, vocabulary.student_size) == (5 + len(HAND), len(student))
    expected, shared = torch.zeros(vocabulary.teacher_size, len(student)), []
    for index, pieces in enumerate(HAND.values(), start=5):
        ids = student.convert_tokens_to_ids(pieces or ["[UNK]"])
        assert vocabulary.pieces_of(torch.tensor([index])).tolist() == ids
        expected[index] = torch.bincount(torch.tensor(ids), minlength=len(student)) * bool(pieces)
        shared += [[index, *ids]] if pieces and len(ids) == 1 else []
    assert vocabulary.pieces.is_sparse and torch.equal(vocabulary.pieces.to_dense(), expected)
    assert vocabulary.mapped_teacher_ids.tolist() == expected.any(1).nonzero().squeeze(1).tolist()
    assert torch.stack([vocabulary.shared_teacher_ids, vocabulary.shared_student_ids], dim=1).tolist() == shared
    roles = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    pairs = [(student.convert_tokens_to_ids(a), pair.teacher.convert_tokens_to_ids(b)) for a, b in roles.items()]
    assert sorted(vocabulary.special_ids) == pairs
    for student_id, teacher_id in pairs:
        assert vocabulary.spell(torch.tensor([2 * teacher_id])).tolist() == [student_id]


def test_a_text_by_hand():
    """The teacher's word goes on where the student's starts: their tokens look alike and are not compared."""
    student = build_tokenizer([*SPECIALS, "да", "##да", "##а", "д", "-", "нет", "н"], 64)
    teacher = build_tokenizer([*SPECIALS, "дада", "да", "-", "н", "##е", "##т"], 64)
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
    readers["ours"] = unigram.train_tokenizer(corpus_lines, 500, 64)
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


def test_an_uncased_student_has_one_spelling_for_a_cased_teachers_words():
    """Else nearly every sentence would begin with a word that it cannot be taught, and reads as unknown."""
    student = build_tokenizer([*SPECIALS, "ёлка", "м", "##а", "##м", "中"], 64, lowercase=True)
    pair = Pair(student, build_tokenizer([*SPECIALS, "Ёлка", "ёлка", "Мама", "А", "中", "Ж"], 64))
    assert pair.shared() == [("ёлка", "Ёлка"), ("ёлка", "ёлка"), ("中", "中")]
    assert pair.vocabulary.first_with_spelling.tolist() == [0, 1, 2, 3, 4, 5, 5, 7, 8, 9, 10]
    assert student.convert_ids_to_tokens(pair.vocabulary.pieces_of(torch.tensor([7]))) == ["м", "##а", "##м", "##а"]
    assert pair.vocabulary.mapped_teacher_ids.tolist() == [5, 6, 7, 9]


def test_a_unigram_student_cuts_a_teachers_token_as_its_own_text():
    """Longest first it would read pieces that it never reads in a text of its own; its own token stays whole."""
    pieces = [("▁", -9.0), ("▁ма", -2.0), ("▁мам", -5.0), ("ма", -2.0), ("а", -6.0), ("▁мама", -99.0), ("ны", -3.0)]
    student = unigram.build_tokenizer(pieces, 64)
    teacher = build_tokenizer([*SPECIALS, "мама", "мамамма", "мамаа", "##мамы", "яма"], 64)
    pair = Pair(student, teacher)
    spelt = [student.convert_ids_to_tokens(pair.vocabulary.pieces_of(torch.tensor([n]))) for n in range(5, 10)]
    assert spelt[:1] == [["▁мама"]] and spelt[2] == ["▁ма", "ма", "а"]
    for number, text in ((1, "мамамма"), (2, "мамаа"), (4, "яма")):
        assert spelt[number] == student.tokenize(text)
    assert spelt[3] == ["ма", "<0xD0>", "<0xBC>", "<0xD1>", "<0x8B>"]
    assert pair.vocabulary.is_mapped.tolist() == [False] * 5 + [True] * 5


def test_a_word_behind_a_lone_mark_is_compared():
    """A small Unigram vocabulary has few words with their space: it cuts the others into "▁" and what follows."""
    student = unigram.build_tokenizer([("▁", -1.0), ("дом", -1.0), ("▁а", -1.0), ("а", -1.0)], 64)
    pair = Pair(student, build_tokenizer([*SPECIALS, "а", "дом", "##а"], 64))
    _, pieces, comparable = pair.compare("а дома дом")
    assert comparable == [True] * 4
    assert [student.convert_ids_to_tokens(one) for one in pieces] == [["▁а"], ["▁", "дом"], ["а"], ["▁", "дом"]]


def test_a_map_is_built_once(tokenizer, unigram_tokenizer, tmp_path, monkeypatch):
    """The second run finds what the first has built; another pair of tokenizers finds nothing."""
    first = VocabularyMap.cached(tokenizer, unigram_tokenizer, tmp_path)
    VocabularyMap.cached(unigram_tokenizer, tokenizer, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(VocabularyMap, "__init__", lambda *_: pytest.fail("built again"))
    second = VocabularyMap.cached(tokenizer, unigram_tokenizer, tmp_path)
    tensors = ({name: value for name, value in vars(v).items() if torch.is_tensor(value)} for v in (first, second))
    torch.testing.assert_close(*tensors, rtol=0, atol=0)
    assert first.special_ids == second.special_ids and first.surfaces == second.surfaces


def _bare(model):
    bare = Tokenizer(model)
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=bare, mask_token="[MASK]", pad_token="[PAD]", unk_token="[UNK]")


def test_a_tokenizer_that_hides_where_words_start_is_refused(tokenizer):
    """Guessed word starts would pair the wrong tokens."""
    plain = _bare(models.BPE(vocab={"а": 0, "б": 1, "аб": 2}, merges=[("а", "б")]))
    for pair in ((tokenizer, plain), (plain, tokenizer)):
        with pytest.raises(UserError, match="`student_vocabulary`.*do not show where words begin"):
            map_vocabularies(*pair)


def test_each_token_of_a_word_level_vocabulary_starts_a_word(tokenizer):
    words = _bare(models.WordLevel(vocab={"[UNK]": 0, "стол": 1, "студент": 2}, unk_token="[UNK]"))
    vocabulary = VocabularyMap(tokenizer, words)
    assert vocabulary.mapped_teacher_ids.tolist() == [1, 2]
    expected = tokenizer("стол студент", add_special_tokens=False)["input_ids"]
    assert vocabulary.pieces_of(vocabulary.mapped_teacher_ids).tolist() == expected
