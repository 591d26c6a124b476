"""The KL across vocabularies: exact in value and gradient, whatever the map, the chunk, and the number of pieces."""

import functools
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from distillation.losses import kl_loss
from distillation.vocabularies import cross_vocabulary_kl as vocabulary_kl
from distillation.vocabularies.candidate_scores import Candidates, LogSumExp, PieceSum
from distillation.vocabularies.cross_vocabulary_kl import CandidateKL, ChunkedCandidateKL
from distillation.vocabularies.mapping import VocabularyMap
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

STUDENT = [*"абв", *(f"##{c}" for c in "абв"), "аб", "##вв", ",", "[unused1]"]
TEACHER = ["ж", ",", "а", "##а", "б", "аб", "##аб", "абв", "##ббб", "ааа", "бббб", "##абаб", "##вв", "вба", "вввв"]
WIDTH = 6
GROUPS = ((1, 3), (2, 1), (3, 5), (4, 2))
ROWS, POSITIONS = sum(k * n for k, n in GROUPS), sum(n for _, n in GROUPS)
MATCH = ("match", "ordered", "mean")
MAPS = ("ordered", "pieces", "pieces_logsumexp", "shared")
CHOICES = [MATCH] + [("reduce", how, pooling) for how in MAPS for pooling in ("mean", "sum")]
choices = pytest.mark.parametrize("choice", CHOICES, ids=" ".join)


@functools.cache
def tokenizers():
    return build_tokenizer([*SPECIAL_TOKENS, *STUDENT]), build_tokenizer([*SPECIAL_TOKENS, *TEACHER])


@functools.cache
def vocabulary():
    return VocabularyMap(*tokenizers())


def inputs(choice, dtype=torch.float32):
    """Student logits, teacher states, the teacher's projection, and groups."""
    normal = functools.partial(torch.randn, generator=torch.Generator().manual_seed(0), dtype=dtype)
    groups, rows = (((1, POSITIONS),), POSITIONS) if choice == MATCH else (GROUPS, ROWS)
    projection = nn.Linear(WIDTH, vocabulary().teacher_size).to(dtype)
    with torch.no_grad():
        for parameter in projection.parameters():
            parameter.copy_(normal(parameter.shape))
    logits = 3 * normal((rows, vocabulary().student_size))
    return logits.requires_grad_(), normal((POSITIONS, WIDTH)), projection, groups


def candidate_ids(choice, k):
    known = vocabulary()
    if "match" in choice or "shared" in choice:
        return known.shared_teacher_ids
    ids = known.mapped_teacher_ids
    return ids[known.piece_counts[ids] == k] if "ordered" in choice else ids


def reference(choice, logits, teacher_logits, groups, temperature=1.0):
    """The definition, a position at a time, with the dense matrix of pieces and plain autograd."""
    (_, how, pooling), known, total, first = choice, vocabulary(), 0.0, 0
    matrix = known.pieces.to_dense().to(logits.dtype)
    for position, k in enumerate(k for k, count in groups for _ in range(count)):
        places, ids = logits[first : first + k].log_softmax(-1), candidate_ids(choice, k)
        pooled = places.sum(0) if pooling == "sum" else places.mean(0)
        if choice == MATCH or how == "shared":
            scores = pooled[known.shared_student_ids]
        elif how == "ordered":
            pieces = [known.pieces_of(ids[i : i + 1]).tolist() for i in range(len(ids))]
            scores = torch.stack([sum(places[j, p] for j, p in enumerate(spelling)) for spelling in pieces])
        elif how == "pieces_logsumexp":
            scores = (pooled + matrix[ids].log()).logsumexp(-1)
        else:
            scores = matrix[ids] @ pooled
        student = (scores / temperature).log_softmax(-1)
        teacher = (teacher_logits[position, ids] / temperature).log_softmax(-1)
        total, first = total + temperature**2 * (teacher.exp() * (teacher - student)).sum(), first + k
    return total


def made(choice, projection, dtype=torch.float32, known=None, **others):
    return CandidateKL(known or vocabulary(), projection, *choice, dtype=dtype, **others)


def value_and_gradient(value, leaf):
    return value.item(), torch.autograd.grad(value, leaf)[0]


@choices
@pytest.mark.parametrize("chunk", [2, 32])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["fp32", "fp64"])
def test_value_and_gradient_are_those_of_the_definition(choice, chunk, temperature, dtype, tolerance, monkeypatch):
    """The analytic gradient replaces autograd: an error there trains towards something else, and the loss falls.
    Where nothing was hidden in a batch, `backward` needs a graph all the same: ranks wait for each other."""
    monkeypatch.setattr(vocabulary_kl, "CHUNK", chunk)
    logits, states, projection, groups = inputs(choice, dtype)
    teacher = projection(states).detach()
    expected, gradient = value_and_gradient(reference(choice, logits, teacher, groups, temperature), logits)
    ks = [k for k, count in groups for _ in range(count)]
    share = sum(row.softmax(-1)[candidate_ids(choice, k)].sum().item() for k, row in zip(ks, teacher, strict=True))
    for layer, given in ((projection, states), (None, teacher)):  # the rows needed, or all logits
        term, at = made(choice, layer, dtype), (groups, temperature)
        assert term(logits, given, *at).dtype == dtype
        actual, scaled = value_and_gradient(3 * term(logits, given, *at), logits)
        assert actual == pytest.approx(3 * expected, rel=tolerance)
        assert term(logits.detach(), given, *at).item() == pytest.approx(expected, rel=tolerance)
        torch.testing.assert_close(scaled / 3, gradient, rtol=tolerance, atol=tolerance)
        assert term.candidate_probability(given, groups).item() == pytest.approx(share, rel=1e-5)
        assert 0 < share < POSITIONS
        nothing, zeros = value_and_gradient(term(logits[:0], given[:0], ()), logits)
        assert nothing == 0 == term.candidate_probability(given[:0], ()).item() and not zeros.any()


BAGS = PieceSum(torch.tensor([1, 4, 4, 4, 0, 1, 2]), torch.tensor([1, 3, 3]), 6)


@pytest.mark.parametrize("score", [BAGS, LogSumExp(BAGS)])
def test_gradient_by_finite_differences(score, monkeypatch):
    """Against the definition of a gradient, for a piece that is in a token twice and one that is in none."""
    monkeypatch.setattr(vocabulary_kl, "CHUNK", 2)
    torch.manual_seed(0)
    values = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(5, 3, dtype=torch.float64)
    candidates = SimpleNamespace(score=score, logits=lambda states: states.t().clone())
    assert torch.autograd.gradcheck(lambda v: ChunkedCandidateKL.apply(v, teacher, candidates, 2.0), [values])


def test_states_of_one_vocabulary_give_plain_kl():
    """As a cache has them: all tokens are candidates, and a single position must not be changed in place."""
    torch.manual_seed(0)
    student, states, projection = torch.randn(1, 20, requires_grad=True), torch.randn(1, 6), nn.Linear(6, 20)
    before, copied = student.detach().clone(), states.clone()
    expected = value_and_gradient(kl_loss(student, projection(states).detach(), 2.0), student)
    total = CandidateKL(None, projection, "same")(student, states, ((1, 1),), 2.0)
    torch.testing.assert_close(value_and_gradient(total, student), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(student, before) and torch.equal(states, copied)


@choices
def test_one_vocabulary_is_plain_kl(choice):
    """With the teacher's own tokenizer a run across vocabularies must be the run without."""
    (_, tokenizer), temperature = tokenizers(), 2.0
    known = VocabularyMap(tokenizer, tokenizer)
    torch.manual_seed(0)
    logits, teacher = torch.randn(9, known.student_size, requires_grad=True), torch.randn(9, known.teacher_size)
    ids = known.shared_teacher_ids
    expected = value_and_gradient(kl_loss(logits[:, ids], teacher[:, ids], temperature, reduction="sum"), logits)
    total = made(choice, None, known=known)(logits, teacher, ((1, 9),), temperature)
    torch.testing.assert_close(value_and_gradient(total, logits), expected, rtol=1e-5, atol=1e-6)


@choices
def test_neither_the_order_of_ids_nor_a_constant_added_to_logits_matters(choice):
    """Ids are names. A sum of raw logits over more pieces would grow with the constant, and long tokens with them."""
    logits, states, projection, groups = inputs(choice, torch.float64)
    expected = made(choice, projection, torch.float64)(logits, states, groups).item()
    order = torch.randperm(len(STUDENT), generator=torch.Generator().manual_seed(3))
    shuffled = build_tokenizer([*SPECIAL_TOKENS, *(STUDENT[i] for i in order)])
    known = VocabularyMap(shuffled, tokenizers()[1])
    moved = logits[:, torch.cat([torch.arange(5), order + 5])]
    moved = moved + torch.linspace(-9, 9, len(logits), dtype=torch.float64)[:, None]
    actual = made(choice, projection, torch.float64, known)(moved, states, groups)
    assert actual.item() == pytest.approx(expected, rel=1e-10)


@choices
def test_extreme_logits(choice):
    """A student as sure as it can be of a wrong token still gets a finite push, and the right one."""
    logits, states, projection, groups = inputs(choice)
    sure = logits.detach().clone()
    far = 60.0 if choice[1:] == ("pieces_logsumexp", "sum") else 200.0  # a sum of exponentials spans 600 in all
    sure[:, 5], sure[:, 8] = far, -far
    exact, teacher = sure.double().requires_grad_(), projection(states).detach().double()
    total = made(choice, projection)(sure.requires_grad_(), states, groups, 2.0)
    actual, gradient = value_and_gradient(total, sure)
    expected, wanted = value_and_gradient(reference(choice, exact, teacher, groups, 2.0), exact)
    assert actual == pytest.approx(expected, rel=1e-5) and torch.isfinite(gradient).all()
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-4)


DEVICES = [("cpu", torch.bfloat16, 0.03), ("cuda", torch.bfloat16, 0.03), ("cuda", torch.float32, 1e-4)]


@choices
@pytest.mark.parametrize(("device", "dtype", "tolerance"), DEVICES, ids=str)
def test_other_devices_and_bf16_agree_with_fp32(choice, device, dtype, tolerance, monkeypatch):
    """Sparse products and chunks differ by device. Logits come in bf16; sums and softmax are in fp32 all the same."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    monkeypatch.setattr(vocabulary_kl, "GPU_CHUNK", 4)
    logits, states, projection, groups = inputs(choice)
    expected, wanted = value_and_gradient(made(choice, projection)(logits, states, groups, 2.0), logits)
    moved = logits.detach().to(device).requires_grad_()
    term = made(choice, projection.to(device), dtype, device=device)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        total = term(moved.to(dtype), states.to(device, dtype), groups, 2.0)
    actual, gradient = value_and_gradient(total, moved)
    assert total.dtype == torch.float32 and actual == pytest.approx(expected, rel=tolerance)
    assert (gradient.cpu() - wanted).norm() < tolerance * wanted.norm()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("choice", [MATCH, ("reduce", "ordered", "mean")], ids=" ".join)
def test_tokens_with_one_spelling_compete_as_one(choice, temperature, tokenizer, spaced_byte_tokenizer):
    """A byte-level teacher has "," with and without a space before it. Were they two candidates with one score, no
    student could follow a teacher that prefers one of them: its commas would stay too rare. Were they summed after
    the temperature, commas would become too frequent."""
    known = VocabularyMap(tokenizer, spaced_byte_tokenizer)
    ids, student_ids = known.shared_teacher_ids, known.shared_student_ids
    assert len(student_ids) > len(student_ids.unique()) > 50
    teacher = 3 * torch.randn(4, known.teacher_size, generator=torch.Generator().manual_seed(0)).double()
    merged = torch.zeros(4, known.student_size, dtype=torch.double).index_add(1, student_ids, teacher[:, ids].exp())
    student = merged.log().clamp(min=-1e4).requires_grad_()
    kl = made(choice, None, torch.double, known)
    total, gradient = value_and_gradient(kl(student, teacher, ((1, 4),), temperature), student)
    assert total == pytest.approx(0, abs=1e-9) and gradient.abs().max() < 1e-9
    share = (teacher[:, ids].logsumexp(-1) - teacher.logsumexp(-1)).exp().sum().item()
    assert kl.candidate_probability(teacher, ((1, 4),)).item() == pytest.approx(share, 1e-5)


def test_two_tokens_with_one_spelling_by_hand():
    """0.3 and 0.3 beside 0.4 at T = 2: 0.6^(1/2) : 0.4^(1/2) against 1 : 1."""
    ids, first = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 2])
    teacher = torch.tensor([[0.3, 0.3, 0.4]], dtype=torch.double).log()

    def score(values):
        return values.clone(), lambda gradient: gradient

    candidates = Candidates(ids, first, lambda _: score, lambda rows: lambda states: states.t()[rows], "cpu")
    total = ChunkedCandidateKL.apply(torch.zeros(1, 2, dtype=torch.double), teacher, candidates, 2.0)
    share = 0.6**0.5 / (0.6**0.5 + 0.4**0.5)
    assert total.item() == pytest.approx(4 * (share * math.log(2 * share) + (1 - share) * math.log(2 * (1 - share))))


def test_three_tokens_with_one_spelling():
    """More than a pair: none may be lost, and none counted twice."""
    known = VocabularyMap(*tokenizers())
    first, *others = known.shared_teacher_ids[:4].tolist()
    known.first_with_spelling[others] = first
    logits, states, projection, groups = inputs(MATCH, torch.double)
    teacher = projection(states).detach()
    merged = teacher.index_copy(1, torch.tensor([first]), teacher[:, [first, *others]].logsumexp(-1, keepdim=True))
    distinct = ~torch.isin(known.shared_teacher_ids, torch.tensor(others))
    student = logits[:, known.shared_student_ids[distinct]].detach()
    expected = kl_loss(student, merged[:, known.shared_teacher_ids[distinct]], reduction="sum")
    actual = made(MATCH, projection, torch.double, known)(logits, states, groups)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)  # kl_loss computes in single precision
