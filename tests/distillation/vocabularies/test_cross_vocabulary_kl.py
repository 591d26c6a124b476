"""The KL across vocabularies: exact in value and gradient, whatever the map, the chunk, and the number of pieces."""

import functools

import pytest
import torch
from torch import nn

from distillation.losses import kl_loss
from distillation.vocabularies import cross_vocabulary_kl as vocabulary_kl
from distillation.vocabularies.candidate_scores import LogSumExp, PieceSum
from distillation.vocabularies.cross_vocabulary_kl import CandidateKL, ChunkedCandidateKL
from distillation.vocabularies.mapping import VocabularyMap
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

OURS = [*"абв", *(f"##{c}" for c in "абв"), "аб", "##вв", ",", "[unused1]"]
THEIRS = ["ж", ",", "а", "##а", "б", "аб", "##аб", "абв", "##ббб", "ааа", "бббб", "##абаб", "##вв", "вба", "вввв"]
WIDTH = 6
GROUPS = ((1, 3), (2, 1), (3, 5), (4, 2))
ROWS, POSITIONS = sum(k * n for k, n in GROUPS), sum(n for _, n in GROUPS)
CHOICES = [("match", "ordered", "mean")] + [
    ("reduce", how, pooling)
    for how in ("ordered", "pieces", "pieces_logsumexp", "shared")
    for pooling in ("mean", "sum")
]
choices = pytest.mark.parametrize("choice", CHOICES, ids=" ".join)


@functools.cache
def tokenizers():
    return build_tokenizer([*SPECIAL_TOKENS, *OURS], 64), build_tokenizer([*SPECIAL_TOKENS, *THEIRS], 64)


@functools.cache
def vocabulary():
    return VocabularyMap(*tokenizers())


def inputs(choice, dtype=torch.float32, seed=0):
    """Student logits, teacher states, the teacher's projection, and groups."""
    generator = torch.Generator().manual_seed(seed)
    groups = ((1, POSITIONS),) if choice[0] == "match" else GROUPS
    rows = POSITIONS if choice[0] == "match" else ROWS
    projection = nn.Linear(WIDTH, vocabulary().teacher_size).to(dtype)
    with torch.no_grad():
        for parameter in projection.parameters():
            parameter.normal_(generator=generator)
    logits = 3 * torch.randn(rows, vocabulary().student_size, generator=generator, dtype=dtype)
    states = torch.randn(POSITIONS, WIDTH, generator=generator, dtype=dtype)
    return logits.requires_grad_(), states, projection, groups


def reference(known, choice, logits, teacher_logits, groups, temperature=1.0):
    """The definition, a position at a time, with the dense matrix of pieces and plain autograd."""
    (alignment, how, pooling), total, first, position = choice, 0.0, 0, 0
    matrix, shared = known.pieces.to_dense().to(logits.dtype), "match" if how == "shared" else alignment
    for k, count in groups:
        for _ in range(count):
            places = logits[first : first + k].log_softmax(-1)
            pooled = places.sum(0) if pooling == "sum" else places.mean(0)
            ids = known.mapped_teacher_ids
            if shared == "match":
                ids, scores = known.shared_teacher_ids, pooled[known.shared_student_ids]
            elif how == "ordered":
                ids = ids[known.piece_counts[ids] == k]
                spelt = [known.pieces_of(ids[i : i + 1]).tolist() for i in range(len(ids))]
                scores = torch.stack([sum(places[j, p] for j, p in enumerate(pieces)) for pieces in spelt])
            elif how == "pieces_logsumexp":
                scores = (pooled + matrix[ids].log()).logsumexp(-1)
            else:
                scores = matrix[ids] @ pooled
            student = (scores / temperature).log_softmax(-1)
            teacher = (teacher_logits[position, ids] / temperature).log_softmax(-1)
            total = total + temperature**2 * (teacher.exp() * (teacher - student)).sum()
            first, position = first + k, position + 1
    return total


def made(choice, projection, dtype=torch.float32, known=None, **others):
    return CandidateKL(known or vocabulary(), projection, *choice, dtype=dtype, **others)


@choices
@pytest.mark.parametrize("chunk", [2, 32])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["fp32", "fp64"])
def test_value_and_gradient_are_those_of_the_definition(choice, chunk, temperature, dtype, tolerance, monkeypatch):
    """The analytic gradient replaces autograd: an error there trains towards something else, and the loss falls."""
    monkeypatch.setattr(vocabulary_kl, "CHUNK", chunk)
    logits, states, projection, groups = inputs(choice, dtype)
    expected = reference(vocabulary(), choice, logits, projection(states).detach(), groups, temperature)
    (wanted,) = torch.autograd.grad(expected, logits)
    for layer, given in ((projection, states), (None, projection(states).detach())):  # the rows needed, or all logits
        actual = made(choice, layer, dtype, temperature=temperature)(logits, given, groups)
        (gradient,) = torch.autograd.grad(3 * actual, logits)
        assert actual.dtype == dtype
        assert actual.item() == pytest.approx(expected.item(), rel=tolerance)
        torch.testing.assert_close(gradient / 3, wanted, rtol=tolerance, atol=tolerance)


@choices
def test_no_position_is_a_zero_and_no_gradient_the_same_value(choice):
    """Where nothing was hidden in a batch, `backward` needs a graph all the same, and ranks wait for each other; an
    evaluation asks for no gradient."""
    logits, states, projection, groups = inputs(choice)
    term = made(choice, projection)
    total = term(logits[:0], states[:0], ())
    total.backward()
    assert total.item() == 0 and not logits.grad.any()
    assert term.candidate_probability(states[:0], ()).item() == 0
    assert term(logits, states, groups).item() == pytest.approx(term(logits.detach(), states, groups).item())


SCORES = {
    "bags of two": lambda: PieceSum(torch.tensor([[0, 2], [3, 3], [2, 4]]), 6),
    "bags of all sizes": lambda: PieceSum(torch.tensor([1, 4, 4, 4, 0, 1, 2]), 6, torch.tensor([1, 3, 3])),
    "sums of exponentials": lambda: LogSumExp(SCORES["bags of all sizes"]()),
}


@pytest.mark.parametrize("score", SCORES)
def test_gradient_by_finite_differences(score, monkeypatch):
    """Against the definition of a gradient, for a piece that is in a token twice and one that is in none."""
    monkeypatch.setattr(vocabulary_kl, "CHUNK", 2)
    torch.manual_seed(0)
    values = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(3, 5, dtype=torch.float64)
    made_once = SCORES[score]()

    def chunk(rows, part, gradient):
        return vocabulary_kl._chunk_kl(part, made_once, teacher[:, rows].clone(), 2.0, gradient)

    assert torch.autograd.gradcheck(lambda v: ChunkedCandidateKL.apply(v, chunk, 2.0), [values])


def test_states_of_one_vocabulary_give_plain_kl():
    """As a cache has them: all tokens are candidates, and a single position must not be changed in place."""
    torch.manual_seed(0)
    student, teacher = torch.randn(1, 20, requires_grad=True), torch.randn(1, 20)
    before = student.detach().clone(), teacher.clone()
    actual = CandidateKL(None, None, temperature=2.0)(student, teacher, ((1, 1),))
    assert actual.item() == pytest.approx(kl_loss(student, teacher, 2.0).item(), rel=1e-5)
    assert torch.equal(student, before[0]) and torch.equal(teacher, before[1])


@choices
def test_one_vocabulary_is_plain_kl(choice):
    """With the teacher's own tokenizer a run across vocabularies must be the run without."""
    (_, tokenizer), temperature = tokenizers(), 2.0
    known = VocabularyMap(tokenizer, tokenizer)
    torch.manual_seed(0)
    logits = torch.randn(9, known.student_size, requires_grad=True)
    teacher = torch.randn(9, known.teacher_size)
    ids = known.shared_teacher_ids
    expected = kl_loss(logits[:, ids], teacher[:, ids], temperature, reduction="sum")
    actual = made(choice, None, known=known, temperature=temperature)(logits, teacher, ((1, 9),))
    assert actual.item() == pytest.approx(expected.item(), rel=1e-6)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (actual, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


@choices
def test_neither_the_order_of_ids_nor_a_constant_added_to_logits_matters(choice):
    """Ids are names. A sum of raw logits over more pieces would grow with the constant, and long tokens with them."""
    logits, states, projection, groups = inputs(choice, torch.float64)
    expected = made(choice, projection, torch.float64)(logits, states, groups).item()
    order = torch.randperm(len(OURS), generator=torch.Generator().manual_seed(3))
    shuffled = build_tokenizer([*SPECIAL_TOKENS, *(OURS[i] for i in order)], 64)
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
    sure.requires_grad_()
    exact = sure.detach().double().requires_grad_()
    teacher = projection(states).detach()
    expected = reference(vocabulary(), choice, exact, teacher.double(), groups, 2.0)
    actual = made(choice, projection, temperature=2.0)(sure, states, groups)
    (wanted,), (gradient,) = torch.autograd.grad(expected, exact), torch.autograd.grad(actual, sure)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5) and torch.isfinite(gradient).all()
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-4)


@choices
def test_candidate_probability_by_definition(choice, monkeypatch):
    """What is logged as the teacher's share must not be a share of something else."""
    monkeypatch.setattr(vocabulary_kl, "CHUNK", 2)
    _, states, projection, groups = inputs(choice)
    known, expected, position = vocabulary(), 0.0, 0
    for k, count in groups:
        ids = known.shared_teacher_ids if "match" in choice or "shared" in choice else known.mapped_teacher_ids
        if choice[:2] == ("reduce", "ordered"):
            ids = ids[known.piece_counts[ids] == k]
        for _ in range(count):
            expected += projection(states[position]).softmax(-1)[ids].sum().item()
            position += 1
    assert 0 < expected < POSITIONS
    for layer, given in ((projection, states), (None, projection(states).detach())):
        held = made(choice, layer).candidate_probability(given, groups)
        assert held.item() == pytest.approx(expected, rel=1e-5)


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@choices
@pytest.mark.parametrize(
    ("device", "dtype", "tolerance"),
    [
        ("cpu", torch.bfloat16, 0.03),
        pytest.param("cuda", torch.bfloat16, 0.03, marks=GPU),
        pytest.param("cuda", torch.float32, 1e-4, marks=GPU),
    ],
    ids=str,
)
def test_other_devices_and_bf16_agree_with_fp32(choice, device, dtype, tolerance, monkeypatch):
    """Sparse products and chunks differ by device. Logits come in bf16; sums and softmax are in fp32 all the same."""
    monkeypatch.setattr(vocabulary_kl, "GPU_CHUNK", 4)
    logits, states, projection, groups = inputs(choice)
    expected = made(choice, projection, temperature=2.0)(logits, states, groups)
    (wanted,) = torch.autograd.grad(expected, logits)
    moved = logits.detach().to(device).requires_grad_()
    term = made(choice, projection.to(device), dtype, temperature=2.0, device=device)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        total = term(moved.to(dtype), states.to(device, dtype), groups)
    (gradient,) = torch.autograd.grad(total, moved)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(expected.item(), rel=tolerance)
    assert (gradient.cpu() - wanted).norm() < tolerance * wanted.norm()


@pytest.mark.parametrize("choice", [("match", "ordered", "mean"), ("reduce", "ordered", "mean")], ids=" ".join)
def test_tokens_with_one_spelling_compete_as_one(choice, tokenizer, spaced_byte_tokenizer):
    """A byte-level teacher has "," with and without a space before it. Were they two candidates with one score, no
    student could follow a teacher that prefers one of them: its commas would stay too rare."""
    known = VocabularyMap(tokenizer, spaced_byte_tokenizer)
    ids, ours = known.shared_teacher_ids, known.shared_student_ids
    assert len(ours) > len(ours.unique()) > 50
    teacher_logits = 3 * torch.randn(4, known.teacher_size, generator=torch.Generator().manual_seed(0)).double()
    merged = torch.zeros(4, known.student_size, dtype=torch.double).index_add(1, ours, teacher_logits[:, ids].exp())
    student_logits = merged.log().clamp(min=-1e4).requires_grad_()
    kl = made(choice, None, torch.double, known)
    total = kl(student_logits, teacher_logits, ((1, 4),))
    total.backward()
    assert total.item() == pytest.approx(0, abs=1e-9) and student_logits.grad.abs().max() < 1e-9
    share = teacher_logits[:, ids].logsumexp(-1) - teacher_logits.logsumexp(-1)
    assert kl.candidate_probability(teacher_logits, ((1, 4),)).item() == pytest.approx(share.exp().sum().item(), 1e-5)


def test_three_tokens_with_one_spelling():
    """More than a pair: none may be lost, and none counted twice."""
    known = VocabularyMap(*tokenizers())
    known.first_spelt_so = known.first_spelt_so.clone()
    first, *others = known.shared_teacher_ids[:4].tolist()
    known.first_spelt_so[others] = first
    logits, states, projection, groups = inputs(("match", "ordered", "mean"), torch.double)
    teacher_logits = projection(states).detach()
    merged = teacher_logits.clone()
    merged[:, first] = teacher_logits[:, [first, *others]].logsumexp(-1)
    kept = torch.ones(len(known.shared_teacher_ids), dtype=torch.bool)
    kept[1:4] = False
    student = logits[:, known.shared_student_ids[kept]].detach()
    expected = kl_loss(student, merged[:, known.shared_teacher_ids[kept]], reduction="sum")
    actual = made(("match", "ordered", "mean"), projection, torch.double, known)(logits, states, groups)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)  # kl_loss computes in single precision
