"""What is hidden from the models: shares, fates, labels, and positions."""

import copy
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers.models import WordPiece
from torch.utils.data import DataLoader

from distillation.config.arguments import MaskingArguments, ObjectiveArguments
from distillation.corpus import masking
from distillation.corpus.examples import Encoder, tokenize
from distillation.corpus.masking import COUNTS, MaskingCollator, draw_actions, rarity_weights
from distillation.vocabularies.mapping import VocabularyMap
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

PAD, UNK, CLS, SEP, HIDDEN = range(5)
KEEP, MASK, RANDOM, UNCHANGED = range(4)
alignments = pytest.mark.parametrize("alignment", ["same", "match", "reduce"])


@pytest.fixture(scope="module")
def letters():
    """Ids 5 to 14 are ordinary."""
    return build_tokenizer([*SPECIAL_TOKENS, *"абвгдежзий"])


def collator(tokenizer, weights=None, masking=None, **objective):
    masking = MaskingArguments(**(masking or {}))
    return MaskingCollator(tokenizer, masking, ObjectiveArguments(**objective), 0, weights)


def example(key, *ids, word_ids=None):
    word_ids = list(range(len(ids))) if word_ids is None else word_ids
    return {"id": key, "input_ids": [CLS, *ids, SEP], "word_ids": [-1, *word_ids, -1]}


@pytest.fixture
def fates(monkeypatch):
    """Fixes what happens to the words of each example, in turn."""
    return lambda *actions: monkeypatch.setattr(masking, "draw_actions", Mock(side_effect=map(np.array, actions)))


def test_numbers_without_a_token_are_never_drawn(letters):
    """Vocabularies have gaps: their largest number is more than `len` says."""
    tokenizer = copy.deepcopy(letters)
    tokenizer.backend_tokenizer.model = WordPiece(letters.get_vocab() | {"й": 20}, unk_token="[UNK]")
    hider = masking.TokenHider(tokenizer)
    assert len(tokenizer) < 21 and set(hider.ordinary_ids) == {*range(5, 14), 20}


def test_expected_share_and_fates():
    """15 % of the words, of these 80 % masked, 10 % random, 10 % shown: what every BERT was trained with."""
    drawn = np.concatenate([draw_actions(37, None, 0.15, np.random.default_rng((1, i))) for i in range(4000)])
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    # 22,200 words are drawn: the deviations are below 0.0003, and 0.003 of the fates.
    assert shares[KEEP] == pytest.approx(0.85, abs=0.001)
    assert shares[[MASK, RANDOM, UNCHANGED]] / 0.15 == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


@pytest.mark.parametrize("words", [0, 1, 7, 20])
def test_short_texts_are_drawn_in_proportion(words):
    """Rounding would never touch a text of three words, and always one word of four."""
    counts = [(draw_actions(words, None, 0.15, np.random.default_rng((2, i))) != KEEP).sum() for i in range(8000)]
    assert set(counts) == {int(words * 0.15), int(np.ceil(words * 0.15))}
    assert np.mean(counts) == pytest.approx(words * 0.15, abs=0.02)
    assert (draw_actions(words, None, 0.9999999, np.random.default_rng(0)) != KEEP).all()


def test_weights_are_chances_relative_to_each_other():
    """The chances are the weights over their sum; nothing is drawn twice."""
    weights = np.array([1.0, 2.0, 5.0])
    first = sum(draw_actions(3, weights, 1 / 3, np.random.default_rng((3, i))) != KEEP for i in range(8000))
    assert first / 8000 == pytest.approx(weights / 8, abs=0.02)
    assert all((draw_actions(3, weights, 2 / 3, np.random.default_rng((4, i))) != KEEP).sum() == 2 for i in range(50))


def test_rarity_weights_by_hand(letters, fates):
    """Rare tokens weigh more. A word weighs the mean of its tokens: the sum would draw it for its length alone."""
    rows = Dataset.from_dict({"input_ids": [[2, 5, 5, 6, 3], [2, 5, 5, 3]]})
    expected = [1, 1, 2**-0.5, 2**-0.5, 1, 4**-0.5, 1, 1]
    assert rarity_weights(rows, 8, 0.5) == pytest.approx(expected)
    fates([KEEP, KEEP])
    collator(letters, np.arange(15.0))([example(0, 5, 8, 9, word_ids=[0, 0, 1])])
    assert masking.draw_actions.call_args[0][1] == pytest.approx([6.5, 9.0])


def test_a_batch_by_hand(letters, fates):
    """Labels, positions, and counts that disagree would train the student on other tokens than those hidden."""
    fates([MASK, KEEP], [KEEP, UNCHANGED, RANDOM])
    rows = [example(7, 5, 6, 7, word_ids=[0, 0, 1]), example(8, 8, 9, 10, 11, word_ids=[0, 1, -1, 2])]
    batch = collator(letters)(rows)
    student = batch["student"]["input_ids"]
    assert student.tolist() == [[CLS, HIDDEN, HIDDEN, 7, SEP, PAD], [CLS, 8, 9, 10, random := int(student[1, 4]), SEP]]
    assert 5 <= random < 15
    assert batch["student"]["attention_mask"].tolist() == [[1] * 5 + [0], [1] * 6]
    assert torch.equal(batch["teacher"]["input_ids"], student)
    assert batch["positions"].tolist() == batch["teacher_positions"].tolist() == [1, 2, 8, 10]
    assert batch["labels"].tolist() == [5, 6, 9, 11]
    assert batch["counts"].tolist() == [4, 4, 11, 25 + 36, 11], COUNTS
    assert all(tensor.dtype == torch.int64 for tensor in (student, batch["positions"], batch["labels"]))


@pytest.mark.parametrize(
    ("actions", "ids", "objective", "teacher_positions", "positions", "labels"),
    [
        ([MASK, KEEP, UNCHANGED], [5, UNK, 7], dict(kl_positions="all"), [1, 3], [1, 3], [5, 7]),
        # The unknown token is hidden: the KL leaves it out, the masked LM does not.
        ([KEEP, MASK, KEEP], [5, UNK, 7], dict(kl_positions="all"), [1, 3], [1, 3, 2], [-100, -100, UNK]),
        ([MASK, UNCHANGED, KEEP], [5, 6, 7], dict(weight_kl=0), [], [1, 2], [5, 6]),
        ([MASK, UNCHANGED, KEEP], [5, 6, 7], dict(weight_mlm=0, kl_position_fraction=1e-9), [], [], []),
        ([MASK, UNCHANGED, KEEP], [5, 6, 7], dict(kl_position_fraction=1e-9), [], [1, 2], [5, 6]),
    ],
)
def test_positions_by_hand(letters, fates, actions, ids, objective, teacher_positions, positions, labels):
    """The KL's positions come first. Logits that no term reads are the dearest part of a step."""
    fates(actions)
    batch = collator(letters, **objective)([example(0, *ids)])
    assert batch["teacher_positions"].tolist() == teacher_positions
    assert (batch["positions"].tolist(), batch["labels"].tolist()) == (positions, labels)
    assert batch["counts"].tolist()[:2] == [len(teacher_positions), sum(action != KEEP for action in actions)]


def test_special_tokens_are_neither_hidden_nor_drawn_as_random(letters):
    """A model that meets [PAD] in the middle of a text learns what it will never see again."""
    batch = collator(letters, masking={"masking_probability": 0.9})([example(i, 5, 6, 7) for i in range(400)])
    ids = batch["student"]["input_ids"]
    assert (ids[:, 0] == CLS).all() and (ids[:, -1] == SEP).all()
    assert not {0, 4} & set((batch["positions"] % 5).tolist())
    assert set(ids[:, 1:-1].flatten().tolist()) - {HIDDEN} == set(range(5, 15))


def test_epochs_reach_workers_that_outlive_them(letters):
    """A worker holds a copy of the collator: without shared memory it would repeat the first masks for ever."""
    collate, examples = collator(letters), [example(key, *range(5, 15)) for key in range(4)]
    loader = DataLoader(examples, batch_size=4, collate_fn=collate, num_workers=1, persistent_workers=True)
    for epoch in (0, 1, 3):
        collate.set_epoch(epoch)
        (batch,) = loader
        assert torch.equal(batch["student"]["input_ids"], collate(examples)["student"]["input_ids"])


# Across vocabularies


@pytest.fixture(scope="module")
def two():
    """Student and teacher, how they meet, and "дада да-нет" as both cut it: дада is one word to one of them."""
    student = build_tokenizer([*SPECIAL_TOKENS, "да", "##да", "д", "-", "нет", "н", "##е", "##т"])
    teacher = build_tokenizer([*SPECIAL_TOKENS, "дада", "да", "-", "н", "##е", "##т"])
    return student, teacher, VocabularyMap(student, teacher)


def across(pair, alignment, lines, seed=0, **objective):
    """A collator of two tokenizers, and the examples of some lines."""
    student, teacher, vocabulary = pair
    lines = Dataset.from_dict({"text": lines})
    made = tokenize(lines, Encoder([student, teacher], "word", 64, alignment, vocabulary))
    how = MaskingArguments(masking_unit="word"), ObjectiveArguments(alignment=alignment, **objective)
    collate = MaskingCollator(student, *how, seed, teacher_tokenizer=teacher, vocabulary=vocabulary)
    return collate, list(made)


FATES = [MASK, KEEP, UNCHANGED, RANDOM]  # of дада, да, -, нет


def test_match_by_hand(two, fates):
    """Student: да ##да да - нет; teacher: дада да - н ##е ##т. Special tokens are compared, but predict nothing."""
    fates(FATES)
    collate, examples = across(two, "match", ["дада да-нет"])
    batch = collate(examples)
    ((*student, random, last),) = batch["student"]["input_ids"].tolist()
    assert student + [last] == [CLS, HIDDEN, HIDDEN, 5, 8, SEP] and random >= 5
    (teacher,) = batch["teacher"]["input_ids"].tolist()
    assert teacher[:4] + teacher[7:] == [CLS, HIDDEN, 6, 7, SEP] and min(teacher[4:7]) >= 5
    assert batch["teacher_index"].tolist() == [[0, -1, -1, 2, 3, -1, 7]]
    assert np.flatnonzero(batch["compared"][0]).tolist() == [0, 2, 3, 7]
    assert (batch["positions"].tolist(), batch["teacher_positions"].tolist()) == ([3, 4, 1, 2, 5], [2, 3])
    assert batch["labels"].tolist() == [-100, 8, 5, 6, 9]
    assert batch["groups"] == ((1, 2),)
    assert batch["counts"].tolist() == [2, 4, 4, 16, 7], COUNTS
    fates([KEEP, RANDOM, KEEP, KEEP])  # each model sees another word there: neither states nor maps are compared
    assert np.flatnonzero(collate(examples)["compared"][0]).tolist() == [0, 3, 7]


def test_reduce_by_hand(two, fates):
    """The second row holds the teacher's tokens in pieces: да ##да, да, -, н, ##е, ##т. The KL takes those of one
    piece first; what was replaced at random is not compared."""
    fates(*[FATES] * 4)
    collate, examples = across(two, "reduce", ["дада да-нет"])
    batch = collate(examples)
    own, spelt = batch["student"]["input_ids"].tolist()
    assert own[:5] + own[6:] == [CLS, HIDDEN, HIDDEN, 5, 8, SEP, PAD, PAD]
    assert spelt[:5] + spelt[8:] == [CLS, HIDDEN, HIDDEN, 5, 8, SEP] and min(spelt[5:8]) >= 5
    assert batch["student"]["attention_mask"].tolist() == [[1] * 7 + [0] * 2, [1] * 9]
    assert batch["teacher_index"].tolist() == [[0, 1, 1, 2, 3, 4, 5, 6, 7]]
    assert batch["compared"].tolist() == [[True] * 4 + [False] * 3 + [True]]
    assert batch["teacher_positions"].tolist() == [2, 3, 1] and batch["groups"] == ((1, 2), (2, 1))
    assert batch["positions"].tolist() == [9 + 3, 9 + 4, 9 + 1, 9 + 2, 1, 2, 4, 5]
    assert batch["labels"].tolist() == [-100] * 4 + [5, 6, 8, 9]
    assert batch["counts"].tolist() == [3, 4, 5, 25, 7], COUNTS
    masked = across(two, "reduce", [], kl_positions="masked")[0](examples)
    assert masked["teacher_positions"].tolist() == [3, 1] and masked["groups"] == ((1, 1), (2, 1))
    none = across(two, "reduce", [], kl_position_fraction=1e-9)[0](examples)
    assert none["groups"] == () and none["positions"].tolist() == [1, 2, 4, 5]
    clean = across(two, "reduce", [], teacher_input="clean")[0](examples)  # a teacher that knows the word teaches no
    assert clean["teacher"]["input_ids"].tolist() == [[CLS, 5, 6, 7, 8, 9, 10, SEP]]  # guesses at masked pieces
    assert clean["student"]["input_ids"][1].tolist() == [CLS, 5, 6, 5, 8, 10, 11, 12, SEP]


@pytest.fixture(scope="module")
def kinds(tokenizer, byte_tokenizer):
    return tokenizer, byte_tokenizer, VocabularyMap(tokenizer, byte_tokenizer)


@alignments
def test_a_hidden_word_is_hidden_from_all_inputs(kinds, corpus_lines, alignment):
    """Else it is given away, or guessed by the student where the teacher reads it."""
    collate, examples = across(kinds, alignment, corpus_lines[:100], kl_positions="all")
    vocabulary, seen = kinds[2], set()
    for one in examples:
        batch, word_ids = collate([one]), np.array(one["word_ids"])
        theirs = word_ids if alignment == "same" else np.array(one["teacher_word_ids"])
        inputs = [(batch["student"]["input_ids"][0], word_ids), (batch["teacher"]["input_ids"][0], theirs)]
        if alignment == "reduce":
            sizes = vocabulary.sizes[torch.tensor(one["spellings"])].numpy()
            inputs.append((batch["student"]["input_ids"][1], theirs.repeat(sizes)))
        labels = zip(batch["positions"].tolist(), batch["labels"].tolist(), strict=True)
        own = {position: label for position, label in labels if label != -100}
        assert all(one["input_ids"][position] == label for position, label in own.items())
        labelled = np.isin(np.arange(len(word_ids)), [*own])
        predicted = set(theirs[batch["teacher_positions"].numpy()].tolist())
        assert -1 not in predicted
        for word in range(max(word_ids) + 1):
            shown = [ids[: len(of)].numpy()[of == word] == HIDDEN for ids, of in inputs]
            (hidden,) = {bool(part.any()) for part in shown} | {bool(part.all()) for part in shown}
            (drawn,) = set(labelled[word_ids == word].tolist())
            changed = (inputs[0][0][: len(word_ids)].numpy() != one["input_ids"])[word_ids == word].any()
            if changed and not hidden and alignment != "same":  # each model sees another word
                assert word not in predicted
            seen.add((drawn, hidden, bool(changed), sum(word_ids == word) > 1))
    fates = {(False, False, False), (True, False, False), (True, False, True), (True, True, True)}
    assert {(*fate, True) for fate in fates} <= seen and all(fate[:3] in fates for fate in seen)


@alignments
def test_masks_depend_on_seed_epoch_and_example_alone(kinds, corpus_lines, monkeypatch, alignment):
    """Else accumulated or resumed steps, or those of other ranks, would see other masks, words, and KL positions."""
    options = dict(kl_position_fraction=0.5, kl_positions="all")
    collate, examples = across(kinds, alignment, corpus_lines[:12], **options)

    def rows(collate, chosen=examples):
        """Of each example all that the models read, predict, and compare, before it is padded."""
        with monkeypatch.context() as patch:
            patch.setattr(collate, "_batch", list)
            return [str(masked) for masked in collate(chosen)]

    together = rows(collate)
    assert together == [row for one in examples for row in rows(collate, [one])]
    assert together[::-1] == rows(collate, examples[::-1])
    assert together == rows(across(kinds, alignment, corpus_lines[:1], **options)[0])
    assert together != rows(across(kinds, alignment, corpus_lines[:1], seed=1, **options)[0])
    for epoch in (1, 0):
        collate.set_epoch(epoch)
        assert (together == rows(collate)) == (epoch == 0)
    assert torch.equal(collate(examples)["counts"], sum(collate([one])["counts"] for one in examples))


@pytest.mark.parametrize("alignment", ["match", "reduce"])
def test_paired_rows_are_the_teachers_tokens(kinds, corpus_lines, alignment):
    """Rows out of step by one would pass every test of shapes. Nothing is hidden here, so tokens can be compared."""
    collate, examples = across(kinds, alignment, corpus_lines[:20], teacher_input="clean")
    collate.masking.masking_probability = 1e-9
    batch, vocabulary = collate(examples), kinds[2]
    student = batch["student"]["input_ids"].flatten()[batch["positions"]].tolist()
    teacher = batch["teacher"]["input_ids"].flatten()[batch["teacher_positions"]].tolist()
    sizes = [k for k, count in batch["groups"] for _ in range(count)]
    assert len(set(sizes)) > 1 or alignment == "match"
    for token, k in zip(teacher, sizes, strict=True):
        assert vocabulary.pieces_of(torch.tensor([token])).tolist() == student[:k]
        student = student[k:]
    assert not student


def test_masked_lm_on_both_inputs_by_hand(two, fates):
    """The control of `reduce`, without a teacher: alone it has a second input then, labelled with the true pieces."""
    fates(FATES, FATES)
    off = dict(weight_kl=0, weight_cosine=0, weight_attention=0)
    collate, examples = across(two, "reduce", ["дада да-нет"], **off, mlm_inputs="both")
    own = across(two, "reduce", [], **off)[0](examples)
    batch = collate(examples)
    assert len(own["student"]["input_ids"]) == 1 and "teacher_index" not in own
    assert batch["student"]["input_ids"][:, :5].tolist() == [[CLS, HIDDEN, HIDDEN, 5, 8]] * 2
    assert batch["positions"].tolist() == [1, 2, 4, 5, 9 + 1, 9 + 2, 9 + 4, 9 + 5, 9 + 6, 9 + 7]
    assert batch["labels"].tolist() == [5, 6, 8, 9, 5, 6, 8, *two[0].convert_tokens_to_ids(["н", "##е", "##т"])]
    assert batch["groups"] == () and batch["unlabelled"] == 0
    assert batch["counts"].tolist()[:2] == [0, 10] and batch["counts"][COUNTS.index("read")] == 7
