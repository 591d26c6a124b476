"""What the KL across vocabularies is compared with computes the same; beating something else would prove nothing."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.timing.kl_baselines import csr, dense, entries, index_trick, kl
from benchmarks.timing.synthetic import RandomMap

CPU, TEMPERATURE = torch.device("cpu"), 2.0


@pytest.fixture(scope="module")
def vocabulary():
    return RandomMap(300, 40)


def gradient(loss, values, teacher):
    return torch.autograd.grad(loss(values, teacher), values)[0]


def drawn(vocabulary):
    torch.manual_seed(0)
    values = torch.randn(5, vocabulary.student_size, dtype=torch.float64, requires_grad=True)
    return values, torch.randn(5, vocabulary.teacher_size, dtype=torch.float64)


def definition(vocabulary):
    """A token at a time."""
    ids = vocabulary.mapped_teacher_ids

    def loss(values, teacher):
        chances = values.log_softmax(-1)
        scores = torch.stack([chances[:, vocabulary.pieces_of(one[None])].sum(-1) for one in ids], dim=1)
        student, teacher = (scores / TEMPERATURE).log_softmax(-1), (teacher[:, ids] / TEMPERATURE).softmax(-1)
        return F.kl_div(student, teacher, reduction="sum") * TEMPERATURE**2

    return loss


@pytest.mark.parametrize(
    "scores", [dense, csr, lambda *both: index_trick(*both, cut=10**6)], ids=["dense", "csr", "index trick"]
)
def test_a_baseline_is_the_definition(scores, vocabulary):
    inputs, known = drawn(vocabulary), definition(vocabulary)
    loss = kl(scores(vocabulary, CPU), vocabulary.mapped_teacher_ids, TEMPERATURE)
    torch.testing.assert_close(loss(*inputs), known(*inputs))
    torch.testing.assert_close(gradient(loss, *inputs), gradient(known, *inputs))


def test_the_published_gradient_is_truncated(vocabulary):
    """Its value is right; of each piece's gradient at most 30 tokens that hold it are left, each once for a place."""
    inputs, known = drawn(vocabulary), definition(vocabulary)
    loss = kl(index_trick(vocabulary, CPU), vocabulary.mapped_teacher_ids, TEMPERATURE)
    torch.testing.assert_close(loss(*inputs), known(*inputs))
    exact = gradient(known, *inputs)
    assert ((gradient(loss, *inputs) - exact).norm() / exact.norm()).item() > 0.05
    ones = torch.ones(1, vocabulary.student_size, requires_grad=True)
    (counted,) = torch.autograd.grad(index_trick(vocabulary, CPU)(ones).sum(), ones)
    _, pieces = entries(vocabulary)
    held = torch.bincount(pieces, minlength=vocabulary.student_size)
    assert torch.equal(counted[0], held.clamp(max=30).float())
