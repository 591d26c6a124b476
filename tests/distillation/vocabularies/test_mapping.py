"""The laws of two vocabularies and two tokenizations: the same text, whatever the tokens."""

import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from distillation.config.errors import UserError
from distillation.corpus.examples import Reader
from distillation.models.shapes import map_vocabularies
from distillation.vocabularies.mapping import VocabularyMap, matched, spelt
from distillation.vocabularies.token_alignment import without_space
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

SPECIALS = list(SPECIAL_TOKENS)
LETTERS = "абвё"
slow = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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


def both(vocabulary, student, teacher, text):
    """The pairs of `matched`, and for each teacher token its pieces and whether it is compared."""
    ours, theirs = read(student, text), read(teacher, text)
    pairs = [(i, j) for i, j in enumerate(matched(vocabulary, *ours, *theirs).tolist()) if j >= 0]
    spellings, comparable = spelt(vocabulary, *ours, *theirs, text)
    return pairs, vocabulary.spell(spellings).split(vocabulary.sizes[spellings].tolist()), comparable.tolist()


def says(tokenizer, index):
    """The surface of a token and whether it opens a word, by the tokenizer's own decoder."""
    token = tokenizer.convert_ids_to_tokens(int(index))
    if type(tokenizer.backend_tokenizer.model).__name__ == "WordPiece":
        return token.removeprefix("##"), not token.startswith("##")
    if type(tokenizer.backend_tokenizer.model).__name__ == "BPE":
        token = decoders.ByteLevel().decode([token])
    token = token.replace("▁", " ")
    return token.strip(" "), token.startswith(" ")


# Two WordPiece vocabularies, drawn at random


@slow
@given(ours=entries, theirs=entries, text=sentences)
def test_pairs_are_those_of_a_double_loop(ours, theirs, text):
    """A pair one token off would teach each word what the teacher thinks of its neighbour."""
    student, teacher = word_piece(ours), word_piece(theirs)
    pairs, _, _ = both(VocabularyMap(student, teacher), student, teacher, text)
    (a, a_spans), (b, b_spans) = read(student, text), read(teacher, text)
    a_tokens, b_tokens = student.convert_ids_to_tokens(a), teacher.convert_ids_to_tokens(b)
    expected = [
        (i, j)
        for i in range(len(a))
        for j in range(len(b))
        if a_spans[i].tolist() == b_spans[j].tolist() and a_tokens[i] == b_tokens[j]
    ]
    assert pairs == expected
    assert all(i < k and j < m for (i, j), (k, m) in zip(pairs, pairs[1:], strict=False))


@slow
@given(ours=entries, theirs=entries, text=sentences)
def test_pieces_tile_the_text(ours, theirs, text):
    """The student must read each character once, as part of the teacher's token that holds it, and words must begin
    where they do in the text."""
    student, teacher = word_piece(ours), word_piece(theirs)
    vocabulary = VocabularyMap(student, teacher)
    _, pieces, comparable = both(vocabulary, student, teacher, text)
    ids, spans = read(teacher, text)
    assert all(comparable)
    for token, (start, end), spelling in zip(teacher.convert_ids_to_tokens(ids), spans.tolist(), pieces, strict=True):
        tokens = student.convert_ids_to_tokens(spelling)
        assert "".join(t.removeprefix("##") for t in tokens) == text[start:end]
        assert [t.startswith("##") for t in tokens] == [token.startswith("##")] + [True] * (len(tokens) - 1)
    assert [end for _, end in spans.tolist()[:-1]] <= [start for start, _ in spans.tolist()[1:]]
    assert "".join(text[start:end] for start, end in spans.tolist()) == text.replace(" ", "")


@slow
@given(ours=entries, theirs=entries)
def test_a_mapped_token_is_its_pieces_longest_first(ours, theirs):
    """The spelling of a token is what WordPiece makes of it, and the matrix says the same."""
    student, teacher = word_piece([entry for entry in ours if "ё" not in entry[0]], letters="абв"), word_piece(theirs)
    vocabulary = VocabularyMap(student, teacher)
    dense = vocabulary.pieces.to_dense()
    for token, index in teacher.get_vocab().items():
        known = index >= len(SPECIALS) and "ё" not in token
        assert bool(vocabulary.is_mapped[index]) == known
        expected = torch.zeros(vocabulary.student_size)
        if known:
            surface = token.removeprefix("##")
            pieces = student.tokenize(surface) if not token.startswith("##") else _inside(student, surface)
            for piece in student.convert_tokens_to_ids(pieces):
                expected[piece] += 1
        assert torch.equal(dense[index], expected), token
    shared = zip(vocabulary.shared_teacher_ids.tolist(), vocabulary.shared_student_ids.tolist(), strict=True)
    found = {(teacher.convert_ids_to_tokens(t), student.convert_ids_to_tokens(s)) for t, s in shared}
    common = student.get_vocab().keys() & teacher.get_vocab().keys() - set(SPECIALS)
    assert found == {(token, token) for token in common}


def _inside(tokenizer, surface):
    """WordPiece in the middle of a word, the slow way."""
    pieces = []
    while surface:
        end = max(n for n in range(1, len(surface) + 1) if f"##{surface[:n]}" in tokenizer.get_vocab())
        pieces.append(f"##{surface[:end]}")
        surface = surface[end:]
    return pieces


# By hand


def byte_level(*surfaces):
    """Byte-level BPE with these entries (bytes, or text whose space belongs to the word) behind its special tokens."""
    written = bytes_to_unicode()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    surfaces = [surface if isinstance(surface, bytes) else surface.encode() for surface in surfaces]
    tokens = [*specials, *("".join(written[byte] for byte in surface) for surface in surfaces)]
    bare = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    bare.pre_tokenizer, bare.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    roles = ("cls_token", "pad_token", "sep_token", "unk_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, **dict(zip(roles, specials, strict=True)), bos_token="<s>", eos_token="</s>"
    )


HAND = {  # what a byte-level token is in the student's pieces
    " да": ["да"],
    "да": ["##да"],
    " дада": ["да", "##да"],
    "дада": ["##да", "##да"],
    " дан": ["да", "##н"],
    " д": ["д"],
    "...": [".", ".", "."],
    ",": [","],
    " ,": [","],
    ".да": [".", "да"],  # behind a mark a word begins
    "да.": ["##да", "."],
    " 中": ["中"],
    "中": ["中"],  # ideographs are words of their own, wherever they stand
    "да中": ["##да", "中"],
    "ж": None,  # unknown letters
    " дж": None,
    " ": None,
    "  ": None,
    b"\xd0": None,  # half a letter
    "д".encode() + b"\xd0": None,
    " [unused1]": None,
    "[MASK]": None,
}


def test_a_vocabulary_by_hand():
    """Each kind of token that has gone wrong: a piece twice, marks, ideographs, bytes, and what no text holds. Special
    tokens are paired by role; the student reads one unknown token where it has no pieces."""
    entries = "да ##да д ##н . , ##, ##. ... 中 ##中 да中 [unused1] ##[unused1]".split()
    student, teacher = build_tokenizer([*SPECIALS, *entries], 64), byte_level(*HAND)
    vocabulary = VocabularyMap(student, teacher)
    assert (vocabulary.teacher_size, vocabulary.student_size) == (5 + len(HAND), len(student))
    expected, shared, mapped = torch.zeros(vocabulary.teacher_size, len(student)), [], []
    for index, pieces in enumerate(HAND.values(), start=5):
        ids = student.convert_tokens_to_ids(pieces or ["[UNK]"])
        assert vocabulary.pieces_of(torch.tensor([index])).tolist() == ids
        if pieces:
            expected[index] = torch.bincount(torch.tensor(ids), minlength=len(student))
            mapped.append(index)
            shared += [(index, *ids)] if len(ids) == 1 else []
    assert vocabulary.pieces.is_sparse and torch.equal(vocabulary.pieces.to_dense(), expected)
    assert vocabulary.mapped_teacher_ids.tolist() == mapped
    found = zip(vocabulary.shared_teacher_ids.tolist(), vocabulary.shared_student_ids.tolist(), strict=True)
    assert list(found) == shared
    roles = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    pairs = {(student.convert_tokens_to_ids(a), teacher.convert_tokens_to_ids(b)) for a, b in roles.items()}
    assert set(vocabulary.special_ids) == pairs and len(vocabulary.special_ids) == 5
    for ours, theirs in pairs:
        assert vocabulary.spell(torch.tensor([2 * theirs])).tolist() == [ours]


def test_a_text_by_hand():
    """The teacher's word goes on where the student's begins: their tokens look alike and are not compared."""
    student = build_tokenizer([*SPECIALS, "да", "##да", "##а", "д", "-", "нет", "н"], 64)
    teacher = build_tokenizer([*SPECIALS, "дада", "да", "-", "н", "##е", "##т"], 64)
    vocabulary = VocabularyMap(student, teacher)
    pairs, pieces, comparable = both(vocabulary, student, teacher, "дада да-нет")
    # student: да ##да да - нет; teacher: дада да - н ##е ##т
    assert pairs == [(2, 1), (3, 2)]
    assert comparable == [True, True, True, True, False, False]
    spelt_as = [student.convert_ids_to_tokens(piece) for piece in pieces]
    assert spelt_as == [["да", "##да"], ["да"], ["-"], ["н"], ["[UNK]"], ["[UNK]"]]


# Tokenizers of every kind

PIECES = [
    *("стол", "студент", " студенты ", " увидел", "Где ", " ", "ё", "е\u0308", "й", "и\u0306", "о\u0301"),
    *("\u00ad", "\u00a0", "\u200b", "\u200d", "\u2028", ",", ".", "...", "«", "-", " — ", "▁", "#"),
    *("👩\u200d👩\u200d👧", "❤️", "👍🏽", "ﬁ", "½", "™", "ﷺ", "中", "か\u3099", "abc", "XYZ", "12", "столstol"),
]
texts = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
texts = texts.map("".join).filter(str.strip)
KINDS = ["WordPiece", "byte-level BPE", "Unigram"]


@pytest.fixture(scope="module")
def readers(tokenizer, byte_tokenizer, unigram_tokenizer):
    return dict(zip(KINDS, (tokenizer, byte_tokenizer, unigram_tokenizer), strict=True))


@pytest.fixture(scope="module")
def maps(readers):
    return {(a, b): VocabularyMap(readers[a], readers[b]) for a in KINDS for b in KINDS}


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("ours", KINDS)
@slow
@given(text=texts)
def test_compared_tokens_stand_for_the_same_text(readers, maps, ours, theirs, text):
    """In any script, composed or not: what is compared is the same characters, read alike."""
    student, teacher, vocabulary = readers[ours], readers[theirs], maps[ours, theirs]
    pairs, pieces, comparable = both(vocabulary, student, teacher, text)
    (a, a_spans), (b, b_spans) = read(student, text), read(teacher, text)

    def readings(span):
        """What the characters of a span are to either; the span of a composed letter leaves its accents out."""
        end = next((i for i in range(span[1], len(text)) if not unicodedata.combining(text[i])), len(text))
        parts = {text[slice(*span)], text[span[0] : end]}
        shown = [t.backend_tokenizer.normalizer for t in (student, teacher)]
        return parts | {normalizer.normalize_str(part).strip() for normalizer in shown if normalizer for part in parts}

    assert len(pieces) == len(b)
    for i, j in pairs:
        assert a_spans[i].tolist() == b_spans[j].tolist()
        assert says(student, a[i])[0] == says(teacher, b[j])[0] in readings(a_spans[i].tolist())
        assert not {int(a[i])} & set(student.all_special_ids)
    assert sorted({j for _, j in pairs}) == [j for _, j in pairs]
    for j, (spelling, compared) in enumerate(zip(pieces, comparable, strict=True)):
        if compared:
            surface = "".join(says(student, piece)[0] for piece in spelling)
            assert surface == says(teacher, b[j])[0] in readings(b_spans[j].tolist())
            assert not set(spelling.tolist()) & set(student.all_special_ids)


@pytest.mark.parametrize("kind", KINDS)
def test_one_tokenizer_on_both_sides_meets_everywhere(readers, maps, corpus_lines, kind):
    """Else `match` and `reduce` could not be plain KL there."""
    vocabulary, tokenizer = maps[kind, kind], readers[kind]
    assert torch.equal(vocabulary.shared_teacher_ids, vocabulary.shared_student_ids)
    assert torch.equal(vocabulary.shared_teacher_ids, vocabulary.mapped_teacher_ids)
    missing = set(range(len(tokenizer))) - set(vocabulary.shared_teacher_ids.tolist())
    surfaces = {says(tokenizer, index)[0] for index in missing - set(tokenizer.all_special_ids)}
    assert all(not s or "\ufffd" in s or s.isspace() or not s.isprintable() for s in surfaces), surfaces
    for text in corpus_lines[:20]:
        ids, spans = read(tokenizer, text)
        pairs, pieces, comparable = both(vocabulary, tokenizer, tokenizer, text)
        # A lone space, a part of a character, and the unknown token have no text of their own.
        surfaces = [says(tokenizer, i)[0] if i != tokenizer.unk_token_id else "" for i in ids]
        # At the start of a text the lone marker has the first letter's characters, and neither is compared.
        begin = 2 if spans[0].tolist() == spans[1].tolist() else 0
        ordinary = [i for i in range(begin, len(ids)) if surfaces[i] and "\ufffd" not in surfaces[i]]
        assert pairs == [(i, i) for i in ordinary]
        assert [i for i, flag in enumerate(comparable) if flag] == ordinary
        assert all(pieces[i].tolist() == [ids[i]] for i in ordinary)


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("ours", KINDS)
def test_plain_text_is_compared_for_the_most_part(readers, maps, corpus_lines, ours, theirs):
    """A rule too many would leave nothing to learn from, without an error. Marks behind a word are the most frequent
    tokens of all, and whether one opens a word is another matter in every kind of tokenizer."""
    found = [both(maps[ours, theirs], readers[ours], readers[theirs], text) for text in corpus_lines[:40]]
    flags = [flag for _, _, comparable in found for flag in comparable]
    assert sum(flags) > 0.6 * len(flags)
    assert sum(len(pairs) for pairs, _, _ in found) > 0.2 * len(flags)
    text = "Мама мыла раму, а папа читал."
    _, _, comparable = both(maps[ours, theirs], readers[ours], readers[theirs], text)
    spans = read(readers[theirs], text)[1].tolist()
    assert [flag for flag, span in zip(comparable, spans, strict=True) if text[slice(*span)] in (",", ".")] == [
        True
    ] * 2


# Tokenizers that normalise differently

CASED = dict(do_lower_case=False, strip_accents=False)
UNCASED = dict(do_lower_case=True, strip_accents=False)
BARE = dict(do_lower_case=False, strip_accents=True)


TEXT = "Ёлка ёж да"


@pytest.mark.parametrize(
    ("ours", "theirs", "text", "compared"),
    [
        *((how, how, text, text) for how in (CASED, UNCASED, BARE) for text in (TEXT, "е\u0308ж да")),
        (CASED, UNCASED, TEXT, "ёж да"),
        (UNCASED, CASED, TEXT, "ёж да"),
        *((*pair, text, "да") for pair in ((CASED, BARE), (BARE, CASED)) for text in (TEXT, "е\u0308ж да")),
        (UNCASED, BARE, TEXT, "да"),
    ],
    ids=str,
)
def test_words_that_one_tokenizer_changes_are_not_compared(ours, theirs, text, compared):
    """A cased teacher's "Ёлка" is not an uncased student's "ёлка", and accents are letters, composed or not."""
    words = ("Ёлка", "ёлка", "Елка", "елка", "ёж", "е\u0308ж", "еж", "да")
    student, teacher = (bert(how, *words) for how in (ours, theirs))
    known = VocabularyMap(student, teacher)
    pairs, _, comparable = both(known, student, teacher, text)
    expected = [text.split().index(word) for word in compared.split()]
    assert pairs == [(i, i) for i in expected]
    assert [j for j, flag in enumerate(comparable) if flag] == expected
    if ours is UNCASED:  # its vocabulary may hold a capital all the same, which never stands in its input
        assert "Ёлка" not in teacher.convert_ids_to_tokens(known.shared_teacher_ids.tolist())


def bert(how, *tokens):
    """With those of the tokens that it writes: a vocabulary is made of normalised text."""
    tokenizer = BertTokenizer(vocab={token: i for i, token in enumerate(SPECIALS)}, **how)
    normalize = tokenizer.backend_tokenizer.normalizer.normalize_str
    kept = [*SPECIALS, *(token for token in tokens if normalize(token) == token)]
    return BertTokenizer(vocab={token: i for i, token in enumerate(kept)}, **how)


def test_a_map_is_built_once(tokenizer, unigram_tokenizer, tmp_path, monkeypatch):
    """The second run finds what the first has built; another pair of tokenizers finds nothing."""
    first = VocabularyMap.cached(tokenizer, unigram_tokenizer, tmp_path)
    VocabularyMap.cached(unigram_tokenizer, tokenizer, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(VocabularyMap, "__init__", lambda *_: pytest.fail("built again"))
    second = VocabularyMap.cached(tokenizer, unigram_tokenizer, tmp_path)
    assert vars(first).keys() == vars(second).keys() and first.special_ids == second.special_ids
    for name, value in vars(first).items():
        assert not torch.is_tensor(value) or torch.equal(vars(second)[name], value)
    text = "Где стол, студент?"
    assert both(second, tokenizer, unigram_tokenizer, text)[2] == both(first, tokenizer, unigram_tokenizer, text)[2]


# What cannot be aligned


def _bare(model, pre_tokenizer=None):
    bare = Tokenizer(model)
    if pre_tokenizer:
        bare.pre_tokenizer = pre_tokenizer
    return PreTrainedTokenizerFast(tokenizer_object=bare, mask_token="[MASK]", pad_token="[PAD]", unk_token="[UNK]")


def test_a_tokenizer_that_hides_where_words_begin_is_refused(tokenizer):
    """Guessed word starts would pair the wrong tokens."""
    plain = _bare(models.BPE(vocab={"а": 0, "б": 1, "аб": 2}, merges=[("а", "б")]), pre_tokenizers.Whitespace())
    for pair in ((tokenizer, plain), (plain, tokenizer)):
        with pytest.raises(ValueError, match="do not say where words begin"):
            VocabularyMap(*pair)
        with pytest.raises(UserError, match="`student_vocabulary`.*do not say where words begin"):
            map_vocabularies(*pair)


def test_whole_words_can_be_aligned(tokenizer):
    """A WordLevel vocabulary has no pieces: every token opens a word."""
    whole = _bare(models.WordLevel(vocab={"[UNK]": 0, "стол": 1, "студент": 2}, unk_token="[UNK]"))
    vocabulary = VocabularyMap(tokenizer, whole)
    assert vocabulary.mapped_teacher_ids.tolist() == [1, 2]
    pieces = vocabulary.pieces_of(vocabulary.mapped_teacher_ids)
    assert pieces.tolist() == tokenizer("стол студент", add_special_tokens=False)["input_ids"]


def test_a_vocabulary_in_another_script_is_refused(tokenizer):
    """Only marks are shared: the KL would teach punctuation."""
    latin = build_tokenizer([*SPECIALS, *".,?!-", *"abcdefghij", *(f"##{c}" for c in "abcdefghij")], 64)
    with pytest.raises(UserError, match="`student_vocabulary` shares . tokens"):
        map_vocabularies(latin, tokenizer)
