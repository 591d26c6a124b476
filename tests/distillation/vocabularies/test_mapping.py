"""The laws of two vocabularies: a teacher's token is its pieces, whatever the tokenizers."""

import pytest
import torch
from hypothesis import given
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from distillation.config.errors import UserError
from distillation.models.shapes import map_vocabularies
from distillation.vocabularies import unigram
from distillation.vocabularies.mapping import VocabularyMap
from distillation.vocabularies.wordpiece import build_tokenizer
from tests.distillation.vocabularies.pairs import SPECIALS, Pair, entries, slow, word_piece


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
    pair = Pair(build_tokenizer([*SPECIALS, *entries]), byte_level(*HAND))
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


def test_an_uncased_student_has_one_spelling_for_a_cased_teachers_words():
    """Else nearly every sentence would begin with a word that it cannot be taught, and reads as unknown."""
    student = build_tokenizer([*SPECIALS, "ёлка", "м", "##а", "##м", "中"], lowercase=True)
    pair = Pair(student, build_tokenizer([*SPECIALS, "Ёлка", "ёлка", "Мама", "А", "中", "Ж"]))
    assert pair.shared() == [("ёлка", "Ёлка"), ("ёлка", "ёлка"), ("中", "中")]
    assert pair.vocabulary.first_with_spelling.tolist() == [0, 1, 2, 3, 4, 5, 5, 7, 8, 9, 10]
    assert student.convert_ids_to_tokens(pair.vocabulary.pieces_of(torch.tensor([7]))) == ["м", "##а", "##м", "##а"]
    assert pair.vocabulary.mapped_teacher_ids.tolist() == [5, 6, 7, 9]


def test_a_unigram_student_cuts_a_teachers_token_as_its_own_text():
    """Longest first it would read pieces that it never reads in a text of its own; its own token stays whole."""
    pieces = [("▁", -9.0), ("▁ма", -2.0), ("▁мам", -5.0), ("ма", -2.0), ("а", -6.0), ("▁мама", -99.0), ("ны", -3.0)]
    student = unigram.build_tokenizer(pieces)
    teacher = build_tokenizer([*SPECIALS, "мама", "мамамма", "мамаа", "##мамы", "яма"])
    pair = Pair(student, teacher)
    spelt = [student.convert_ids_to_tokens(pair.vocabulary.pieces_of(torch.tensor([n]))) for n in range(5, 10)]
    assert spelt[:1] == [["▁мама"]] and spelt[2] == ["▁ма", "ма", "а"]
    for number, text in ((1, "мамамма"), (2, "мамаа"), (4, "яма")):
        assert spelt[number] == student.tokenize(text)
    assert spelt[3] == ["ма", "<0xD0>", "<0xBC>", "<0xD1>", "<0x8B>"]
    assert pair.vocabulary.is_mapped.tolist() == [False] * 5 + [True] * 5


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
