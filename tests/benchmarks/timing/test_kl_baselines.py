"""What the KL across vocabularies is compared with computes the same; beating something else would prove nothing."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.timing.kl_baselines import HOLDERS, csr, dense, index_trick, kl
from benchmarks.timing.synthetic import RandomMap

CPU, VOCABULARY = torch.device("cpu"), RandomMap(300, 40)
IDS = VOCABULARY.mapped_teacher_ids


def definition(values, teacher):
    """A token at a time, at temperature 2."""
    chances = values.log_softmax(-1)
    scores = torch.stack([chances[:, VOCABULARY.pieces_of(one[None])].sum(-1) for one in IDS], dim=1)
    return 4 * F.kl_div((scores / 2).log_softmax(-1), (teacher[:, IDS] / 2).softmax(-1), reduction="sum")


@pytest.mark.parametrize("cut", [HOLDERS, 10**6])
@pytest.mark.parametrize("scores", [dense, csr, index_trick])
def test_a_baseline_is_the_definition(scores, cut):
    """Of the published trick the value alone: its gradient is of at most 30 tokens a piece."""
    torch.manual_seed(0)
    values = torch.randn(5, 40, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(5, 300, dtype=torch.float64)
    options = {"cut": cut} if scores is index_trick else {}
    found, right = kl(scores(VOCABULARY, CPU, **options), IDS, 2.0)(values, teacher), definition(values, teacher)
    torch.testing.assert_close(found, right)
    gradient, exact = (torch.autograd.grad(loss, values)[0] for loss in (found, right))
    error = ((gradient - exact).norm() / exact.norm()).item()
    assert error > 0.05 if options == {"cut": HOLDERS} else error < 1e-9
