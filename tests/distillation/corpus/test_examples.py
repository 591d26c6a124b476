"""The laws of cutting lines into examples and words."""

import copy
import unicodedata

import numpy as np
import pytest
import torch
from datasets import Dataset
from datasets.table import InMemoryTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers.normalizers import Lowercase

from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.corpus import examples as corpus_examples
from distillation.corpus.examples import Encoder, check_examples, tokenize
from distillation.text.reading import clean_lines, load_lines
from distillation.vocabularies.mapping import VocabularyMap
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

# Pieces of text in which tokenizers disagree about what a character or a word is.
PIECES = [
    *"абвёйиЁЙяЯabcXYZ0123 .,—-'\"«»…",
    *("е\u0308", "и\u0306", "о\u0301", "а\u0323\u0301", "а\u0301\u0323"),  # combining marks, in both orders
    *("\u00ad", "\u00a0", "\u200b", "\u200d", "\ufeff", "\u2003", "\u2028"),  # hyphens and spaces that do not look so
    *("👩\u200d👩\u200d👧", "🏳️\u200d🌈", "❤️", "👍🏽"),
    *("ﬁ", "½", "™", "ﷺ", "中", "か\u3099", "한", "\U0001d400"),
    *("стол", "студент", " студенты ", "Где ", " увидел", "журнал", "  "),
]
texts = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=25)
texts = texts.map(lambda pieces: "".join(clean_lines(["".join(pieces)])[0])).filter(bool)
long_texts = texts.flatmap(lambda text: st.integers(1, 4).map(lambda times: " ".join([text] * times)))
slow = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
KINDS = ["WordPiece", "byte-level BPE", "Unigram"]
kinds = pytest.mark.parametrize("kind", KINDS)


def as_dataset(*lines):
    return Dataset.from_dict({"text": list(lines)})


def examples_of(lines, tokenizers, masking_unit="word", max_length=64, **how):
    """What `tokenize` gives, without the cache of `datasets`: hundreds of calls a law."""
    lines = [lines] if isinstance(lines, str) else lines
    columns = Encoder(tokenizers, masking_unit, max_length, **how)({"text": lines}, range(len(lines)))
    return Dataset(InMemoryTable.from_pydict(columns), fingerprint="none")  # which takes longest to find


@pytest.fixture(scope="session")
def readers(tokenizer, byte_tokenizer, unigram_tokenizer):
    return dict(zip(KINDS, (tokenizer, byte_tokenizer, unigram_tokenizer), strict=True))


@pytest.fixture(scope="session")
def maps(readers):
    return {kind: VocabularyMap(readers["WordPiece"], readers[kind]) for kind in KINDS}


def test_a_tokenizer_of_another_language_is_refused():
    """Its student would learn to predict the unknown token, and its losses would look excellent."""
    small = build_tokenizer([*SPECIAL_TOKENS, "да", "нет"])
    examples = examples_of("да 中 нет", [small])
    check_examples(examples, Encoder([small], "word", 64), 0.2)  # one of five, special tokens included
    with pytest.raises(UserError, match=r"20.0% of the corpus are unknown tokens.*`max_unknown` \(0.19\)"):
        check_examples(examples, Encoder([small], "word", 64), 0.19)


def test_a_literal_example():
    """Hand-worked: "ёж-йод" is three words, "ёж" of two tokens; the ids of one line count up from its own base."""
    small = build_tokenizer([*SPECIAL_TOKENS, "ё", "##ж", "-", "йод", "съел"])
    rows = tokenize(as_dataset("йод", "ёж-йод съел"), Encoder([small], "word", 64))
    assert rows["id"][:] == [0, 2**24]
    assert rows["input_ids"][:] == [[2, 8, 3], [2, 5, 6, 7, 8, 9, 3]]
    assert rows["word_ids"][:] == [[-1, 0, -1], [-1, 0, 0, 1, 2, 3, -1]]
    assert rows["word_characters"][:] == [[3], [2, 1, 3, 4]]
    assert rows["length"][:] == [3, 7]
    tokens = examples_of("ёж-йод съел", [small], "token")
    assert tokens["word_ids"][:] == [[-1, 0, 1, 2, 3, 4, -1]]
    assert tokens["word_characters"][:] == [[1, 1, 1, 3, 4]]


@pytest.mark.parametrize("unit", ["word", "token"])
@kinds
@slow
@given(text=long_texts, length=st.integers(26, 40))
def test_the_cuts_of_a_line_hold_all_its_tokens_once(readers, kind, unit, text, length):
    """A token lost or shown twice at a cut would change what the corpus says."""
    tokenizer = readers[kind]
    rows = examples_of(text, [tokenizer], unit, length)
    complete = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert [i for ids in rows["input_ids"] for i in ids[1:-1]] == complete
    columns = (rows[name] for name in ("input_ids", "word_ids", "word_characters", "length"))
    for ids, words, sizes, total in zip(*columns, strict=True):
        assert len(ids) == len(words) == total <= length
        assert (ids[0], words[0], ids[-1], words[-1]) == (tokenizer.cls_token_id, -1, tokenizer.sep_token_id, -1)
        assert set(words) <= set(range(-1, len(sizes)))
        assert unit == "token" or min(sizes) > 0  # a token may be a space
    assert rows["id"][:] == list(range(len(rows)))


@kinds
@slow
@given(words=st.lists(st.sampled_from(["студент", "и", "в,", "журнал-газета", "я" * 70]), min_size=1, max_size=60))
def test_cuts_fall_between_words_wherever_a_word_fits(readers, kind, words):
    """Half a word at an example's end is hidden or predicted without the other half."""
    text, tokenizer = " ".join(words), readers[kind]
    rows = examples_of(text, [tokenizer], "word", 24)
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    ends = np.cumsum([len(ids) - 2 for ids in rows["input_ids"]])
    # Where a token holds the space before its word, a new word begins with that space.
    spaced = [i for i, (a, b) in enumerate(offsets) if a and (text[a] == " " or text[a - 1] == " ") and b > a]
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        if end < len(offsets) and end not in spaced:
            assert not [i for i in spaced if start < i <= min(start + 22, len(offsets))]


@pytest.mark.parametrize("kinds", [KINDS[:2], KINDS[1:], KINDS[::-2]], ids=" and ".join)
@slow
@given(text=texts)
def test_words_are_the_same_characters_to_both_tokenizers(readers, kinds, text):
    """A word hidden from the student but half shown to the teacher would give the answer away."""
    pair = [readers[kind] for kind in kinds]
    rows = examples_of(text, pair, "word", 2000)
    spans = [reader(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"] for reader in pair]
    # What one tokenizer drops (control characters, a lone joiner) cannot be hidden from it.
    shown = [{start for start, _ in found} for found in spans]
    words = [span for span in slow_words(text, spans) if all(starts & set(range(*span)) for starts in shown)]
    assert len(rows) == bool(words)
    for row in rows:
        assert row["word_characters"] == [len("".join(text[start:end].split())) for start, end in words]
        for column, found in zip(("word_ids", "teacher_word_ids"), spans, strict=True):
            assert row[column][0] == row[column][-1] == -1
            for word, (start, end) in zip(row[column][1:-1], found, strict=True):
                assert word == next((i for i, (a, b) in enumerate(words) if a <= start < b), -1)
                if word >= 0:
                    assert words[word][0] <= start and end <= words[word][1]
                else:
                    dropped = any(not starts & set(range(start, end)) for starts in shown)
                    assert text[start:end].isspace() or start == end or dropped


def slow_words(text, spans):
    """Words by character, joined with their neighbours over every border that lies inside a token."""
    words, start = [], None
    for i, c in enumerate(text + " "):
        alone = unicodedata.category(c).startswith("P") or (c.isascii() and c.isprintable() and not c.isalnum())
        alone = alone and c != " "
        if start is not None and (alone or c.isspace()):
            words.append((start, i))
            start = None
        if alone:
            words.append((i, i + 1))
        elif start is None and not c.isspace():
            start = i
    tokens = [span for found in spans for span in found]
    borders = sorted({border for word in words for border in word})
    borders = [border for border in borders if not any(a < border < b for a, b in tokens)]
    grown = {(max(b for b in borders if b <= word[0]), min(b for b in borders if b >= word[1])) for word in words}
    return sorted(grown)


def test_both_tokenizations_are_cut_at_the_same_characters(readers, corpus_lines):
    """With cuts of their own, the two models would read different texts in one row."""
    text, (student, teacher) = " ".join(corpus_lines[:40]), [readers[kind] for kind in KINDS[:2]]
    rows = examples_of([text, "да"], [student, teacher], "word", 16)
    pairs = list(zip(rows["input_ids"], rows["teacher_input_ids"], strict=True))
    assert rows["length"][:] == [max(map(len, pair)) for pair in pairs] and max(rows["length"][:]) <= 16
    shown = [teacher.decode(ids[1:-1]) for _, ids in pairs]
    assert "".join(shown) == text + "да"
    assert [ids for ids, _ in pairs] == [student.encode(part) for part in shown]


def test_what_fits_in_no_example_is_counted(readers, caplog):
    """A word of 200 letters is one unknown token to the student, and too long for an example of the teacher's."""
    examples_of(f"да {'ъё' * 100} да", [readers[kind] for kind in KINDS[:2]], "word", 16)
    assert "202 characters are in no example" in caplog.text  # its spaces are among them


def test_what_a_text_spells_or_a_tokenizer_drops_is_no_special_word(tokenizer, byte_tokenizer):
    """A corpus about language models says "[MASK]": its id would be a mask that was never drawn, and a label.
    WordPiece drops a lone zero-width joiner: drawn, it would hide nothing from one of the models."""
    ((*ids, last),) = examples_of("он [MASK] и [SEP] да", [tokenizer])["input_ids"]
    assert last == tokenizer.sep_token_id and not {tokenizer.mask_token_id, last} & set(ids)
    for tokenizers in ([tokenizer], [byte_tokenizer, tokenizer]):
        (example,) = examples_of("он \u200d да", tokenizers)
        assert len(example["word_characters"]) == 2
        assert {word for word in example["word_ids"] if word >= 0} == {0, 1}


# Across vocabularies


def test_columns_across_vocabularies_by_hand():
    """Hand-worked: only да and - are the same tokens on the same characters; "ю" is unknown to the student."""
    student = build_tokenizer([*SPECIAL_TOKENS, "да", "##да", "-", "нет", "н", "##е", "##т"])
    teacher = build_tokenizer([*SPECIAL_TOKENS, "дада", "да", "-", "н", "##е", "##т", "ю"])
    both, vocabulary = [student, teacher], VocabularyMap(student, teacher)
    (row,) = examples_of("дада да-нет ю", both, alignment="match", vocabulary=vocabulary)
    assert row["input_ids"] == [2, 5, 6, 5, 7, 8, 1, 3] and row["teacher_input_ids"] == [2, 5, 6, 7, 8, 9, 10, 11, 3]
    assert row["matches"] == [0, -1, -1, 2, 3, -1, -1, 8]
    assert (row["word_ids"], row["teacher_word_ids"]) == ([-1, 0, 0, 1, 2, 3, 4, -1], [-1, 0, 1, 2, 3, 3, 3, 4, -1])
    (row,) = examples_of("дада да-нет ю", both, alignment="reduce", vocabulary=vocabulary)
    # 2 x id, and 1 more where a word begins.
    assert row["spellings"] == [4, 11, 13, 15, 17, 18, 20, 23, 6]
    assert row["comparable"] == [True] * 7 + [False, True]
    assert row["length"] == 10, "the second input is the longest: [CLS] да ##да да - н ##е ##т [UNK] [SEP]"


@kinds
@slow
@given(text=long_texts, length=st.integers(26, 40))
def test_every_input_fits_and_columns_survive_the_cuts(readers, maps, kind, text, length):
    """A second input longer than the model's positions ends the run; columns that a cut displaces mislead it."""
    vocabulary, pair = maps[kind], [readers["WordPiece"], readers[kind]]
    for alignment, names in (("match", ["matched"]), ("reduce", ["comparable", "spellings"])):
        how = dict(alignment=alignment, vocabulary=vocabulary)
        uncut, rows = (list(examples_of(text, pair, max_length=size, **how)) for size in (9999, length))
        for row in [*uncut, *rows]:
            inputs = [row["input_ids"], row["teacher_input_ids"]]
            if alignment == "match":
                matches = [(own, at) for own, at in zip(inputs[0], row["matches"], strict=True) if at >= 0]
                assert (matches[0][1], matches[-1][1]) == (0, len(inputs[1]) - 1)
                row["matched"] = [inputs[1][at] for _, at in matches]
                for (own, _), token in list(zip(matches, torch.tensor(row["matched"]), strict=True))[1:-1]:
                    assert vocabulary.is_mapped[token] and vocabulary.pieces_of(token[None]).tolist() == [own]
            else:
                spellings = torch.tensor(row["spellings"])
                inputs.append(vocabulary.spell(spellings).tolist())
                assert (spellings // 2).tolist() == inputs[1]
                assert (inputs[2][0], inputs[2][-1]) == (inputs[0][0], inputs[0][-1])
                assert row["comparable"][0] and row["comparable"][-1]
            assert max(map(len, inputs)) == row["length"]
        assert all(row["length"] <= length for row in rows)
        inner = {name: sum((row[name][1:-1] for row in rows), []) for name in ("teacher_input_ids", *names)}
        for row in uncut:  # none, or one: which characters are left out of all inputs is another law
            if len(inner["teacher_input_ids"]) == len(row["teacher_input_ids"]) - 2:
                assert all(inner[name] == row[name][1:-1] for name in names)


@pytest.mark.parametrize("alignment", ["same", "match", "reduce"])
def test_examples_are_cached_and_the_same_in_every_process(readers, maps, corpus_file, alignment, monkeypatch):
    """Tokenizing a large corpus takes hours: once. Examples of another recipe must not come out of the cache, nor may
    ids count from 0 in each process: many lines would have the same mask."""
    lines = load_lines(DataArguments(), str(corpus_file), None)

    def encode(kind="byte-level BPE", lines=lines, num_proc=None, **changed):
        pair = [copy.deepcopy(readers["WordPiece"]), readers[kind]]
        how = dict(masking_unit="word", max_length=20, alignment=alignment, vocabulary=maps[kind]) | changed
        return tokenize(lines, Encoder(pair[:1] if how["alignment"] == "same" else pair, **how), num_proc)

    one = encode()
    assert encode(lines=as_dataset(*lines["text"]), num_proc=2)[:] == one[:] and len(set(one["id"])) == len(one)
    with monkeypatch.context() as few:  # long lines are read a few at a time, not to fill memory
        few.setattr(corpus_examples, "TOGETHER", 200)
        again = Encoder(
            [readers["WordPiece"], readers["byte-level BPE"]], "word", 20, "reduce", maps["byte-level BPE"]
        )
        parts = again({"text": lines["text"][:]}, range(len(lines)))
    together = encode(alignment="reduce")
    assert all(np.array_equal(a, b) for name in parts for a, b in zip(parts[name], together[name], strict=True))
    others = [encode(max_length=21), encode(alignment="reduce" if alignment == "match" else "match")]
    others += [encode("Unigram", alignment="match"), encode(alignment="same", masking_unit="token")]
    assert len({x._fingerprint for x in (one, *others)}) == 5
    monkeypatch.setattr(Encoder, "__call__", lambda *args, **keys: pytest.fail("tokenized again"))
    assert encode(lines=load_lines(DataArguments(), str(corpus_file), None))._fingerprint == one._fingerprint


@pytest.mark.parametrize("alignment", ["match", "reduce"])
def test_texts_without_a_common_token_are_refused(alignment):
    """Vocabularies may share tokens that a corpus in capitals never uses."""
    vocabularies = [*SPECIAL_TOKENS, "да", "нет", "ДА", "НЕТ"], [*SPECIAL_TOKENS, "да", "нет"]
    student, teacher = (build_tokenizer(tokens) for tokens in vocabularies)
    teacher.backend_tokenizer.normalizer = Lowercase()
    encoder = Encoder([student, teacher], "word", 64, alignment, VocabularyMap(student, teacher))
    assert len(encoder.vocabulary.shared_teacher_ids) == 2
    with pytest.raises(UserError, match="`student_vocabulary` and the teacher's tokenizer have no token in common"):
        check_examples(tokenize(as_dataset("ДА НЕТ", "НЕТ"), encoder), encoder, 1.0)


def test_a_forked_process_uses_one_thread(tokenizer):
    """One that enters a parallel region of torch waits for ever for the threads of its parent: long batches do."""
    torch.set_num_threads(2)
    Encoder([tokenizer], "word", 64)({"text": ["да"]}, [0], rank=0)
    assert torch.get_num_threads() == 1
