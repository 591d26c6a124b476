"""The benchmark of the KL across vocabularies."""

import json

import torch

from benchmarks import cross_vocabulary_kl
from benchmarks.timing.kl_baselines import dense, kl
from benchmarks.timing.measure import time_ratio
from benchmarks.timing.synthetic import RandomMap
from distillation.vocabularies.cross_vocabulary_kl import CandidateKL

QUICK = ["--teacher_size", "500", "--student_sizes", "40", "120", "--positions", "6", "--rounds", "2"]


def test_it_stays_exact_over_many_candidates():
    """A softmax that adds up 20,000 exponentials in order loses two digits of the gradient."""
    vocabulary, generator = RandomMap(20_000, 300), torch.Generator().manual_seed(1)
    values = (3 * torch.randn(4, 300, generator=generator)).requires_grad_()
    teacher = 3 * torch.randn(4, 20_000, generator=generator)
    loss = CandidateKL(vocabulary, None, "reduce", "pieces")
    (found,) = torch.autograd.grad(loss(values, teacher, [(1, 4)], 2.0), values)
    slow = kl(dense(vocabulary, torch.device("cpu")), vocabulary.mapped_teacher_ids, 2.0)
    exact_values = values.detach().double().requires_grad_()
    (exact,) = torch.autograd.grad(slow(exact_values, teacher.double()), exact_values)
    assert ((found - exact).norm() / exact.norm()).item() < 1e-6


def test_tables_and_json(tmp_path, capsys):
    cross_vocabulary_kl.main([*QUICK, "--output", str(tmp_path / "kl.json")])
    printed, figures = capsys.readouterr().out, json.loads((tmp_path / "kl.json").read_text(encoding="utf-8"))
    rows = figures["rows"]
    assert json.loads(printed.splitlines()[-1]) == figures and "| 120 | 6 | ordered | " in printed
    assert len(rows) == 2 * 5 and all(len(row["seconds"]) == 2 for row in rows)
    seconds = {(row["student_size"], row["way"]): row["seconds"] for row in rows}
    for row in rows:
        others = ["dense", "index trick", "csr"] if row["way"] in ("pieces", "ordered") else []
        ratios = {way: time_ratio(row["seconds"], seconds[row["student_size"], way]) for way in others}
        assert row["faster"] == ratios


def test_a_dense_matrix_that_does_not_fit_is_left_out(monkeypatch):
    monkeypatch.setattr(cross_vocabulary_kl, "DENSE", 4 * 500 * 100)
    small, large = (cross_vocabulary_kl.ways(RandomMap(500, size), 6, torch.device("cpu")) for size in (40, 120))
    assert "dense" in small and "dense" not in large
