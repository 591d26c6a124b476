"""What is hidden from the models: shares, fates, labels, and positions."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader

from distillation import masking
from distillation.arguments import MaskingArguments, ObjectiveArguments
from distillation.data import tokenize
from distillation.masking import (
    COUNTS,
    KEEP,
    MASK,
    RANDOM,
    SHOW,
    MaskingCollator,
    draw_actions,
    rarity_weights,
)
from distillation.vocabulary import SPECIAL_TOKENS, build_tokenizer

PAD, UNK, CLS, SEP, HIDDEN = range(5)


@pytest.fixture(scope="module")
def letters():
    """Ids 5 to 14 are ordinary."""
    return build_tokenizer([*SPECIAL_TOKENS, *"абвгдежзий"], 64)


def collator(tokenizer, seed=0, weights=None, masking=None, **objective):
    return MaskingCollator(
        tokenizer, MaskingArguments(**(masking or {})), ObjectiveArguments(**objective), seed, weights
    )


def example(key, *ids, units=None):
    units = list(range(len(ids))) if units is None else units
    return {"id": key, "input_ids": [CLS, *ids, SEP], "units": [-1, *units, -1]}


@pytest.fixture
def fates(monkeypatch):
    """Fixes what happens to the units of each example, in turn."""

    def fix(*actions):
        turns = iter(actions)
        monkeypatch.setattr(masking, "draw_actions", lambda *_: np.array(next(turns)))

    return fix


@pytest.fixture(scope="module")
def examples(tokenizer, corpus_lines):
    return list(tokenize(Dataset.from_dict({"text": corpus_lines}), [tokenizer], "word", 64))


def test_expected_share_and_fates():
    """15 % of the units, of these 80 % masked, 10 % random, 10 % shown: what every BERT was trained with."""
    drawn = np.concatenate([draw_actions(37, None, 0.15, np.random.default_rng((1, i))) for i in range(4000)])
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    # 22,200 units are drawn: the deviations are below 0.0003, and 0.003 of the fates.
    assert shares[KEEP] == pytest.approx(0.85, abs=0.001)
    assert shares[[MASK, RANDOM, SHOW]] / 0.15 == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


@pytest.mark.parametrize("units", [1, 2, 5, 7, 20])
def test_short_texts_are_drawn_in_proportion(units):
    """Rounding to the nearest would never touch a text of three words, and always one word of four."""
    counts = [(draw_actions(units, None, 0.15, np.random.default_rng((2, i))) != KEEP).sum() for i in range(8000)]
    assert set(counts) == {int(units * 0.15), int(units * 0.15) + 1} if units != 20 else {3}
    assert np.mean(counts) == pytest.approx(units * 0.15, abs=0.02)


def test_no_units_and_certain_units():
    """Examples of special tokens alone exist, and must not stop a run."""
    assert len(draw_actions(0, None, 0.15, np.random.default_rng(0))) == 0
    assert (draw_actions(4, None, 0.9999999, np.random.default_rng(0)) != KEEP).all()


def test_weights_are_chances_relative_to_each_other():
    """Of one draw among weights 1, 2, 5, the chances are those over their sum; nothing is drawn twice."""
    weights = np.array([1.0, 2.0, 5.0])
    first = sum(draw_actions(3, weights, 1 / 3, np.random.default_rng((3, i))) != KEEP for i in range(8000))
    assert first / 8000 == pytest.approx(weights / 8, abs=0.02)
    assert all((draw_actions(3, weights, 2 / 3, np.random.default_rng((4, i))) != KEEP).sum() == 2 for i in range(50))


def test_rarity_weights_by_hand(letters):
    """A wrong sign would hide the commonest tokens all the more."""
    rows = Dataset.from_dict({"input_ids": [[2, 5, 5, 6, 3], [2, 5, 5, 3]]})
    expected = [1, 1, 2**-0.5, 2**-0.5, 1, 4**-0.5, 1, 1]
    assert rarity_weights(rows, 8, 0.5) == pytest.approx(expected)


def test_rare_tokens_are_drawn_more_often(letters):
    """With weights 4 : 1 and one draw of four tokens, the rare one is drawn in 4 of 7 cases."""
    weights = np.ones(len(letters))
    weights[6] = 4
    collate = collator(letters, weights=weights, masking={"masking_probability": 0.25})
    labels = [collate([example(i, 5, 5, 6, 5)])["labels"] for i in range(3000)]
    assert all(len(drawn) == 1 for drawn in labels)
    assert np.mean([6 in drawn for drawn in labels]) == pytest.approx(4 / 7, abs=0.03)


def test_weight_of_a_unit_is_the_mean_of_its_tokens(letters, monkeypatch):
    """The sum would draw long words the more often for their length alone."""
    seen = []
    monkeypatch.setattr(masking, "draw_actions", lambda n, w, *_: seen.append(w) or np.full(n, KEEP))
    weights = np.arange(len(letters), dtype=float)
    collator(letters, weights=weights)([example(0, 5, 8, 9, units=[0, 0, 1])])
    assert seen[0] == pytest.approx([6.5, 9.0])


def test_a_batch_by_hand(letters, fates):
    """Labels, positions, and counts that disagree would train the student on other tokens than those hidden."""
    fates([MASK, KEEP], [KEEP, SHOW, RANDOM])
    batch = collator(letters)([example(7, 5, 6, 7, units=[0, 0, 1]), example(8, 8, 9, 10, 11, units=[0, 1, -1, 2])])
    student = batch["student"]["input_ids"]
    random = int(student[1, 4])
    assert student.tolist() == [[CLS, HIDDEN, HIDDEN, 7, SEP, PAD], [CLS, 8, 9, 10, random, SEP]]
    assert 5 <= random < 15
    assert batch["student"]["attention_mask"].tolist() == [[1] * 5 + [0], [1] * 6]
    assert torch.equal(batch["teacher"]["input_ids"], student)
    assert batch["positions"].tolist() == [1, 2, 8, 10]
    assert batch["labels"].tolist() == [5, 6, 9, 11]
    assert batch["teacher_positions"].tolist() == [1, 2, 8, 10]
    assert dict(zip(COUNTS, batch["counts"].tolist(), strict=True)) == {
        "kl": 4, "mlm": 4, "tokens": 11, "pairs": 25 + 36, "read": 11
    }  # fmt: skip
    assert all(tensor.dtype == torch.int64 for tensor in (student, batch["positions"], batch["labels"]))


def test_kl_at_all_tokens_by_hand(letters, fates):
    """The KL's positions come first, whatever is hidden, so that the teacher's logits are those of the first rows."""
    fates([MASK, KEEP, SHOW])
    batch = collator(letters, kl_positions="all")([example(0, 5, UNK, 7)])
    assert batch["teacher_positions"].tolist() == [1, 3]
    assert batch["positions"].tolist() == [1, 3]
    assert batch["labels"].tolist() == [5, 7]
    fates([KEEP, MASK, KEEP])  # the unknown token is hidden: the KL leaves it out, the masked LM does not
    batch = collator(letters, kl_positions="all")([example(0, 5, UNK, 7)])
    assert batch["teacher_positions"].tolist() == [1, 3]
    assert (batch["positions"].tolist(), batch["labels"].tolist()) == ([1, 3, 2], [-100, -100, UNK])
    assert batch["counts"].tolist()[:2] == [2, 1]


def test_teacher_may_see_the_clean_text(letters, fates):
    """With `clean` the teacher's input is the corpus, the student's is masked; with `masked` they are one."""
    fates([MASK, RANDOM, KEEP])
    batch = collator(letters, teacher_input="clean", kl_positions="all")([example(0, 5, 6, 7)])
    assert batch["teacher"]["input_ids"].tolist() == [[CLS, 5, 6, 7, SEP]]
    assert batch["student"]["input_ids"][0, 1] == HIDDEN


def test_a_term_of_weight_zero_asks_for_no_positions(letters, fates):
    """Logits that no term reads are the dearest part of a step."""
    fates(*[[MASK, SHOW, KEEP]] * 3)
    without_kl = collator(letters, weight_kl=0)([example(0, 5, 6, 7)])
    assert without_kl["teacher_positions"].tolist() == []
    assert (without_kl["positions"].tolist(), without_kl["labels"].tolist()) == ([1, 2], [5, 6])
    assert without_kl["counts"].tolist()[0] == 0
    half = collator(letters, weight_mlm=0, kl_position_fraction=1e-9)([example(0, 5, 6, 7)])
    assert half["positions"].tolist() == []
    both = collator(letters, kl_position_fraction=1e-9)([example(0, 5, 6, 7)])
    assert both["positions"].tolist() == [1, 2] and both["teacher_positions"].tolist() == []


@pytest.mark.parametrize("kl_positions", ["all", "masked"])
def test_kl_position_fraction_thins_evenly(examples, tokenizer, kl_positions):
    """The thinned positions are a sample of the size asked for, and the hidden tokens stay the same."""
    full = collator(tokenizer, kl_positions=kl_positions)(examples)
    part = collator(tokenizer, kl_positions=kl_positions, kl_position_fraction=0.3)(examples)
    assert set(part["teacher_positions"].tolist()) < set(full["teacher_positions"].tolist())
    share = len(part["teacher_positions"]) / len(full["teacher_positions"])
    assert share == pytest.approx(0.3, abs=0.05)
    assert torch.equal(part["student"]["input_ids"], full["student"]["input_ids"])
    assert part["counts"][1] == full["counts"][1]


@pytest.mark.parametrize("objective", [{}, {"kl_positions": "all"}, {"kl_position_fraction": 0.5}, {"weight_kl": 0}])
def test_labels_and_positions_agree_on_a_corpus(examples, tokenizer, objective):
    """Every label is the true token at its position, and the first m positions are the teacher's."""
    batch = collator(tokenizer, **objective)(examples)
    length = batch["student"]["input_ids"].shape[1]
    clean = np.zeros((len(examples), length), dtype=int)
    for row, one in enumerate(examples):
        clean[row, : len(one["input_ids"])] = one["input_ids"]
    clean, masked = clean.ravel(), batch["student"]["input_ids"].numpy().ravel()
    positions, labels = batch["positions"].numpy(), batch["labels"].numpy()
    teacher = batch["teacher_positions"]
    assert torch.equal(batch["positions"][: len(teacher)], teacher)
    assert len(set(positions)) == len(positions) == len(labels)
    hidden = labels != -100
    assert (labels[hidden] == clean[positions[hidden]]).all()
    assert (masked[positions[~hidden]] == clean[positions[~hidden]]).all()
    assert set(np.flatnonzero(masked != clean)) <= set(positions[hidden])
    assert dict(zip(COUNTS, batch["counts"].tolist(), strict=True)) == {
        "kl": len(teacher),
        "mlm": hidden.sum(),
        "tokens": sum(len(one["input_ids"]) for one in examples),
        "pairs": sum(len(one["input_ids"]) ** 2 for one in examples),
        "read": sum(len(one["input_ids"]) for one in examples),
    }


def test_whole_words_share_their_fate(examples, tokenizer):
    """A word hidden in part is given away by its other part."""
    collate = collator(tokenizer, seed=5)
    seen = set()
    for one in examples:
        batch = collate([one])
        masked, ids = batch["student"]["input_ids"][0].numpy(), np.array(one["input_ids"])
        drawn = np.zeros(len(ids), dtype=bool)
        drawn[batch["positions"].numpy()] = True
        for unit in range(max(one["units"]) + 1):
            of_unit = np.array(one["units"]) == unit
            assert drawn[of_unit].all() or not drawn[of_unit].any()
            hidden = masked[of_unit] == tokenizer.mask_token_id
            assert hidden.all() or not hidden.any()
            seen.add((bool(drawn[of_unit].any()), bool(hidden.any()), of_unit.sum() > 1))
    assert {(True, True, True), (True, False, True), (False, False, True)} <= seen


def test_special_tokens_are_neither_hidden_nor_drawn_as_random(letters):
    """A model that meets [PAD] in the middle of a text learns what it will never see again."""
    collate = collator(letters, masking={"masking_probability": 0.9})
    random = set()
    for i in range(400):
        batch = collate([example(i, 5, 6, 7)])
        ids = batch["student"]["input_ids"][0].tolist()
        assert (ids[0], ids[-1]) == (CLS, SEP)
        assert not {0, 4} & set(batch["positions"].tolist())
        random |= set(ids[1:-1]) - {HIDDEN}
    assert random == set(range(5, 15))


def test_masks_depend_on_seed_epoch_and_example_alone(examples, tokenizer):
    """Else a resumed run, or one on other ranks, would train on other masks than the run it continues."""
    collate = collator(tokenizer, kl_position_fraction=0.5, kl_positions="all")

    def rows(batch):
        length = batch["student"]["input_ids"].shape[1]
        labels = dict(zip(batch["positions"].tolist(), batch["labels"].tolist(), strict=True))
        kl = set(batch["teacher_positions"].tolist())
        return [
            [
                (int(token), labels.get(row * length + i), row * length + i in kl)
                for i, token in enumerate(ids[: int(mask.sum())])
            ]
            for row, (ids, mask) in enumerate(zip(*batch["student"].values(), strict=True))
        ]

    eight = sorted(examples, key=lambda one: one["length"])[::50]
    assert len({one["length"] for one in eight}) > 3
    together = rows(collate(eight))
    assert together == [row for one in eight for row in rows(collate([one]))]
    assert together[::-1] == rows(collate(eight[::-1]))
    assert together == rows(collator(tokenizer, kl_position_fraction=0.5, kl_positions="all")(eight))
    assert together != rows(collator(tokenizer, 1, kl_position_fraction=0.5, kl_positions="all")(eight))
    collate.set_epoch(1)
    second = rows(collate(eight))
    assert together != second
    collate.set_epoch(0)
    assert together == rows(collate(eight))


def test_epochs_reach_workers_that_outlive_them(examples, tokenizer):
    """A worker holds a copy of the collator: without shared memory it would repeat the first masks for ever."""
    collate = collator(tokenizer)
    loader = DataLoader(examples[:4], batch_size=4, collate_fn=collate, num_workers=1, persistent_workers=True)
    for epoch in (0, 1, 3):
        collate.set_epoch(epoch)
        (batch,) = loader
        expected = collator(tokenizer)
        expected.set_epoch(epoch)
        assert torch.equal(batch["student"]["input_ids"], expected(examples[:4])["student"]["input_ids"])
