"""A narrower student computes what the teacher does, as far as its width allows."""

import pytest
import torch
from torch.nn.functional import pad
from transformers import DistilBertConfig, DistilBertForMaskedLM

from distillation.models.narrowing import (
    WORDS,
    factors,
    narrow_heads,
    narrow_model,
    residual_basis,
    select_ffn_units,
)

WIDTH, NARROW = 12, 8


def model(**changes):
    """Random weights; biases start as zeros, which hide mistakes; layer norms are left alone."""
    shape = dict(vocab_size=40, dim=WIDTH, n_layers=2, n_heads=2, hidden_dim=20, max_position_embeddings=10)
    network = DistilBertForMaskedLM(DistilBertConfig(**shape | changes)).eval()
    torch.manual_seed(0)
    for name, parameter in network.named_parameters():
        if "norm" not in name.lower():
            parameter.data = 0.4 * torch.randn_like(parameter)
    network.tie_weights()
    return network


def rows(seed=0):
    return torch.randn(40, WIDTH, generator=torch.Generator().manual_seed(seed))


def centred(matrix):
    return matrix - matrix.mean(-1, keepdim=True)


@pytest.mark.parametrize("rank", [3, WIDTH])
def test_a_basis_is_orthonormal_and_takes_the_constant_vector_to_the_constant_vector(rank):
    """Else LayerNorm would take a direction that carries something. Rows lose the tail of their singular values."""
    full = rows()[:, :rank] @ rows(1)[:rank]
    basis = residual_basis(full, NARROW, "pca")
    torch.testing.assert_close(basis.T @ basis, torch.eye(NARROW))
    torch.testing.assert_close(torch.ones(WIDTH) @ basis / WIDTH**0.5, torch.ones(NARROW) / NARROW**0.5)
    lost = centred(full) - centred(full) @ basis @ basis.T
    tail = torch.linalg.svdvals(centred(full))[NARROW - 1 :]
    torch.testing.assert_close(lost.norm(), tail.norm(), atol=1e-4, rtol=0)


def test_the_basis_does_not_depend_on_the_signs_that_the_solver_picks(monkeypatch):
    """Another version of LAPACK must not give another student."""
    solve, expected = torch.linalg.eigh, residual_basis(rows(), NARROW, "pca")
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: (solve(matrix)[0], -solve(matrix)[1]))
    torch.testing.assert_close(residual_basis(rows(), NARROW, "pca"), expected)


def heads(width=6):
    """Query, key, value, output of three heads on 9 inputs and a bias."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(3, width, 10, generator=generator, dtype=torch.float64) for _ in range(3)]
    return *inputs, torch.randn(3, 9, width, generator=generator, dtype=torch.float64)


def test_crop_takes_the_first_coordinates_of_each_head():
    *inputs, output = heads()
    expected = *(part[:, :4] for part in inputs), output[:, :, :4]
    assert all(map(torch.equal, narrow_heads(*heads(), 4, "crop"), expected))


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_the_best_factors_lose_the_tail_of_the_singular_values(rank):
    left, right = heads()[0].mT, heads()[1]
    thin, wide = factors(left, right, rank)
    assert thin.shape == (3, 10, rank) and wide.shape == (3, rank, 10)
    lost = (left @ right - thin @ wide).flatten(1).norm(dim=1)
    torch.testing.assert_close(lost, torch.linalg.svdvals(left @ right)[:, rank:].norm(dim=1))
    torch.testing.assert_close(thin.flatten(1).norm(dim=1), wide.flatten(1).norm(dim=1))


def test_inner_units_by_hand():
    """Products 6, 1, 20, 8: pca takes the units 2 and 3, in their order."""
    first, second = torch.tensor([[3.0], [1], [4], [8]]), torch.tensor([[2.0, 1, 5, 1]])
    assert select_ffn_units(first, second, 2, "pca").tolist() == [2, 3]
    assert select_ffn_units(first, second, 2, "crop").tolist() == [0, 1]


@pytest.mark.parametrize(("width", "coordinates"), [(10, "crop"), (4, "pca")])
def test_the_share_of_width_chooses_the_coordinates(width, coordinates):
    """Of 12 coordinates the first 10, or the 4 principal ones. Heads and units are the principal ones in both."""
    weights, config = model().state_dict(), model(dim=width, hidden_dim=10).config
    found, expected, first = (narrow_model(weights, config, 2, how) for how in (None, coordinates, "crop"))
    assert torch.equal(found[WORDS], expected[WORDS])
    for name in ("attention.q_lin.bias", "ffn.lin1.bias"):
        name = f"distilbert.transformer.layer.0.{name}"
        assert not torch.equal(found[name], first[name])


def embedded(small):
    """A wide model that computes what a narrow one does, in a part of its residual stream, heads, and units. The part
    holds the constant vector, and LayerNorms make it as large as the narrow one's."""
    bases = [torch.cat([torch.ones(n, 1), rows(n)[:NARROW, :n].T], dim=1) for n in (WIDTH, NARROW)]
    outer, inner = (torch.linalg.qr(basis)[0][:, :NARROW] for basis in bases)
    part = outer @ inner.T  # (WIDTH, NARROW), constant to constant
    large = model()
    weights = {name: torch.zeros_like(weight) for name, weight in large.state_dict().items()}
    for name, weight in small.state_dict().items():
        module, kind = name.split(".")[-2:]
        if "norm" in name.lower():
            weight = torch.full((WIDTH,), (NARROW / WIDTH) ** 0.5 if kind == "weight" else 0.0)
        elif module in ("out_lin", "lin2", "vocab_transform"):
            weight = part @ weight
        if weight.dim() == 2 and module not in ("out_lin", "lin2"):
            weight = weight @ part.T
        if module in ("q_lin", "k_lin", "v_lin"):  # heads of 4 become heads of 6 with two coordinates of zeros
            scale = 1 if module == "v_lin" else 1.5**0.25  # sqrt(6) divides instead of sqrt(4)
            split = scale * weight.unflatten(0, (2, 4))
            weight = torch.cat([split, torch.zeros_like(split[:, :2])], dim=1).flatten(0, 1)
        elif name.endswith("out_lin.weight"):
            weight = pad(weight.unflatten(1, (2, 4)), (0, 2)).flatten(1)
        weights[name][tuple(map(slice, weight.shape))] = weight
        if "ffn" in name and not name.endswith("lin2.bias"):  # the units that count come last
            weights[name] = weights[name].flip(1 if "lin2" in name else 0)
    large.load_state_dict(weights)
    return large


def test_a_teacher_that_uses_a_part_of_its_width_is_reproduced():
    """Basis, heads (their logits divided by sqrt(4) instead of sqrt(6)), units, biases, mean and deviation of the
    embeddings at once. The head's nonlinearity is left out, for it depends on the coordinates."""
    student = model(dim=NARROW, hidden_dim=16)
    teacher = embedded(student)
    narrowed = narrow_model(teacher.state_dict(), student.config, 2, "pca")
    for name in narrowed:
        if "norm" in name.lower() and name.endswith("weight"):  # the gain is for a part with its share of the norm
            narrowed[name] *= (WIDTH / NARROW) ** 0.5
    narrowed["vocab_projector.weight"] = narrowed["distilbert.embeddings.word_embeddings.weight"]  # tied
    student.load_state_dict(narrowed)
    words = teacher.get_input_embeddings().weight.detach()
    assert student.get_input_embeddings().weight.std().item() == pytest.approx(0.02, rel=1e-4)
    basis, ids = residual_basis(words - words.mean(0), NARROW, "pca"), torch.arange(20).reshape(2, 10)
    states = teacher.distilbert(ids).last_hidden_state
    assert states.std(dim=1).min() > 0.1
    torch.testing.assert_close(student.distilbert(ids).last_hidden_state, states @ basis, rtol=1e-3, atol=1e-3)
    actual, expected = (
        m.vocab_projector(m.vocab_layer_norm(m.vocab_transform(x)))
        for m, x in ((student, states @ basis), (teacher, states))
    )
    torch.testing.assert_close(centred(actual), centred(expected), rtol=1e-3, atol=1e-3)
