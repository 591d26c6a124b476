"""The benchmark of the KL across vocabularies: that what it compares with computes the same, and what it reports."""

import json

import pytest
import torch
import torch.nn.functional as F

from benchmarks import cross_vocabulary_kl
from benchmarks.baselines import (
    Dense,
    Gather,
    IndexTrick,
    Sparse,
    exact_gradient,
    gradient,
    piece_table,
    sampled_holders,
)
from benchmarks.cross_vocabulary_kl import TEMPERATURE, SyntheticMap
from benchmarks.timing import measure, rounds

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vocabulary():
    return SyntheticMap(300, 40)


def drawn(vocabulary, positions=5):
    torch.manual_seed(0)
    values = torch.randn(positions, vocabulary.student_size, dtype=torch.float64, requires_grad=True)
    return values, torch.randn(positions, vocabulary.teacher_size, dtype=torch.float64)


def dense(vocabulary, values, teacher_logits, logsumexp):
    """The definition: a product with the whole matrix of counts."""
    ids = vocabulary.mapped_teacher_ids
    counts = torch.stack([torch.bincount(vocabulary.pieces_of(i[None]), minlength=values.shape[1]) for i in ids])
    scores = (values.exp() @ counts.double().T).log() if logsumexp else values.log_softmax(-1) @ counts.double().T
    student, teacher = (scores / TEMPERATURE).log_softmax(-1), (teacher_logits[:, ids] / TEMPERATURE).softmax(-1)
    return F.kl_div(student, teacher, reduction="sum") * TEMPERATURE**2


@pytest.mark.parametrize("logsumexp", [False, True])
@pytest.mark.parametrize("make", [Dense, Gather, IndexTrick, Sparse])
def test_a_baseline_is_the_dense_product(vocabulary, make, logsumexp):
    """Beating something that computes another thing would prove nothing."""
    values, teacher = drawn(vocabulary)
    whole = {"cut": 10**6} if make is IndexTrick else {}
    baseline = make(vocabulary, TEMPERATURE, logsumexp, **whole)
    if make is Sparse:
        baseline.counts = baseline.counts.double()
    torch.testing.assert_close(baseline(values, teacher), dense(vocabulary, values, teacher, logsumexp))
    expected = torch.autograd.grad(dense(vocabulary, values, teacher, logsumexp), values)[0]
    torch.testing.assert_close(gradient(baseline, values, teacher), expected)


@pytest.mark.parametrize("logsumexp", [False, True])
def test_chunks_of_the_exact_gradient_join(vocabulary, logsumexp):
    values, teacher = drawn(vocabulary)
    expected = torch.autograd.grad(dense(vocabulary, values, teacher, logsumexp), values)[0]
    found = exact_gradient(Gather(vocabulary, TEMPERATURE, logsumexp), values, teacher, chunk=2)
    torch.testing.assert_close(found, expected)


def test_holders_are_drawn_from_the_tokens_that_hold_a_piece(vocabulary):
    """At most as many as asked for, none twice for one place, and all of them where there are no more."""
    table = piece_table(vocabulary, vocabulary.mapped_teacher_ids)
    for piece, row in enumerate(sampled_holders(table, vocabulary.student_size, 30).tolist()):
        kept = [token for token in row if token < len(table)]
        holding = (table == piece).nonzero()[:, 0].tolist()
        assert len(kept) == min(30, len(holding))
        assert all(kept.count(token) <= holding.count(token) for token in kept)


@pytest.mark.parametrize("logsumexp", [False, True])
def test_only_the_truncated_gradient_is_wrong(vocabulary, logsumexp):
    """Ours included, and `ordered` by an exact gradient of its own."""
    calls, exact = cross_vocabulary_kl.ways(vocabulary, 6, logsumexp, CPU)
    errors = {name: cross_vocabulary_kl.relative_error(call(), exact[name]) for name, call in calls.items()}
    assert errors.pop("index trick") > 0.05
    assert set(errors) == {"dense", "gather", "sparse"} | (
        {"pieces_logsumexp"} if logsumexp else {"pieces", "ordered"}
    )
    assert max(errors.values()) < cross_vocabulary_kl.ERROR


@pytest.mark.parametrize("logsumexp", [False, True])
def test_ours_stays_exact_over_many_candidates(logsumexp):
    """A softmax that adds up 20,000 exponentials in order loses two digits of the gradient."""
    calls, exact = cross_vocabulary_kl.ways(SyntheticMap(20000, 300), 4, logsumexp, CPU)
    for name in ["pieces_logsumexp"] if logsumexp else ["pieces", "ordered"]:
        assert cross_vocabulary_kl.relative_error(calls[name](), exact[name]) < 1e-6


def test_tables_and_json(tmp_path, capsys):
    """Each way has its row, each of ours its comparison, on paper and in the file."""
    output = tmp_path / "step.json"
    cross_vocabulary_kl.main(["--quick", "--output", str(output)])
    shown, figures = capsys.readouterr().out, json.loads(output.read_text(encoding="utf-8"))
    assert json.loads(shown.splitlines()[-1]) == figures
    assert len(figures["rows"]) == 2 * (6 + 5) and len(figures["ratios"]) == 2 * (2 + 1) * 4
    assert all(len(row["seconds"]) == 2 for row in figures["rows"])
    assert "| 40 | 6 | sum | gather | " in shown and "| 120 | 6 | pieces_logsumexp | sparse | " in shown
    assert {"cpu", "threads", "torch"} <= set(figures["hardware"])


def test_real_tokenizers(tokenizer, unigram_tokenizer, tmp_path, capsys):
    tokenizer.save_pretrained(tmp_path / "student")
    unigram_tokenizer.save_pretrained(tmp_path / "teacher")
    argv = ["--teacher_tokenizer", str(tmp_path / "teacher"), "--student_tokenizers", str(tmp_path / "student")]
    known = cross_vocabulary_kl.main([*argv, "--quick"])["vocabularies"]
    assert [one["student_size"] for one in known] == [len(tokenizer)] and known[0]["seconds"] > 0
    with pytest.raises(SystemExit):
        cross_vocabulary_kl.main(argv[:2])


def test_ratio_by_hand():
    assert rounds.ratio([1, 2, 4], [8, 4, 12]) == {"median": 4, "min": 2, "max": 8}
    assert rounds.ratio([], []) is None


def test_the_calls_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    found = measure.side_by_side(calls, 3, CPU)
    assert order == ["a", "b"] * 3 and [len(one.seconds) for one in found.values()] == [3, 3]


def test_memory_is_that_of_the_call():
    """What is held before does not count, what the call frees does."""
    held = torch.ones(2**22)
    calls = {"large": lambda: torch.ones(2**23).sum(), "small": lambda: torch.ones(2**10).sum()}
    found = measure.side_by_side(calls, 2, CPU)
    if not found["large"].mib:
        pytest.skip("this system does not tell")
    assert 28 < min(found["large"].mib) and max(found["large"].mib) < 48 and max(found["small"].mib) < 8
    assert len(held)
