"""The benchmark of the KL across vocabularies: ours are exact at many candidates, and what it reports."""

import json

import pytest
import torch

from benchmarks import cross_vocabulary_kl
from benchmarks.timing.rounds import time_ratio
from benchmarks.timing.synthetic import RandomMap
from distillation.vocabularies.cross_vocabulary_kl import VocabularyKL

QUICK = ["--teacher_size", "500", "--student_sizes", "40", "120", "--positions", "6", "--rounds", "2"]


def exact_gradient(vocabulary, rows, teacher, groups, ordered):
    """In double precision by plain autograd, a position at a time. groups: (pieces, positions)."""
    mapped, gradients, row = vocabulary.mapped_teacher_ids, [], 0
    for position, k in enumerate(k for k, count in groups for _ in range(count)):
        ids = mapped[vocabulary.piece_counts[mapped] == k] if ordered else mapped
        values = rows[row : row + k].detach().double().requires_grad_()
        counts = vocabulary.piece_counts[ids]
        places = torch.arange(k).repeat(len(ids)) if ordered else torch.zeros(int(counts.sum()), dtype=torch.long)
        chances = values.log_softmax(-1)[places, vocabulary.pieces_of(ids)]
        token = torch.arange(len(ids)).repeat_interleave(counts)
        scores = torch.zeros(len(ids), dtype=torch.double).index_add(0, token, chances)
        student, target = (scores / 2).log_softmax(-1), (teacher[position, ids].double() / 2).softmax(-1)
        gradients += torch.autograd.grad(4 * (target * (target.log() - student)).sum(), values)
        row += k
    return torch.cat(gradients)


@pytest.mark.parametrize("name", ["pieces", "ordered"])
def test_ours_stay_exact_over_many_candidates(name):
    """A softmax that adds up 20,000 exponentials in order loses two digits of the gradient."""
    vocabulary, generator = RandomMap(20_000, 300), torch.Generator().manual_seed(1)
    groups = vocabulary.frequent_groups(4, generator) if name == "ordered" else [(1, 4)]
    rows = 3 * torch.randn(sum(k * count for k, count in groups), 300, generator=generator)
    teacher = 3 * torch.randn(4, 20_000, generator=generator)
    loss = VocabularyKL(vocabulary, None, "reduce", name, temperature=2.0)
    (found,) = torch.autograd.grad(loss(rows.requires_grad_(), teacher, groups), rows)
    exact = exact_gradient(vocabulary, rows, teacher, groups, name == "ordered")
    assert ((found - exact).norm() / exact.norm()).item() < 1e-6


def test_tables_and_json(tmp_path, capsys):
    """Each way has its row, each of ours its ratio to each baseline, on paper and in the file."""
    output = tmp_path / "kl.json"
    cross_vocabulary_kl.main([*QUICK, "--output", str(output)])
    shown, figures = capsys.readouterr().out, json.loads(output.read_text(encoding="utf-8"))
    assert json.loads(shown.splitlines()[-1]) == figures
    assert len(figures["rows"]) == 2 * 5
    assert all(len(row["seconds"]) == 2 and {"spread", "steady"} <= row.keys() for row in figures["rows"])
    assert "| 40 | 6 | csr | " in shown and "| 120 | 6 | ordered | " in shown
    assert {"cpu", "threads", "torch"} <= set(figures["hardware"])
    seconds = {(row["student_size"], row["way"]): row["seconds"] for row in figures["rows"]}
    for row in figures["rows"]:
        ours = row["way"] in ("pieces", "ordered")
        assert list(row["faster"]) == (["dense", "index trick", "csr"] if ours else [])
        for name, found in row["faster"].items():
            assert found == time_ratio(row["seconds"], seconds[row["student_size"], name])


def test_a_dense_matrix_that_does_not_fit_is_left_out(monkeypatch):
    """That of 119,547 x 30,522 would take 14.6 GB."""
    monkeypatch.setattr(cross_vocabulary_kl, "DENSE", 4 * 500 * 100)
    vocabularies = RandomMap(500, 40), RandomMap(500, 120)
    found = [cross_vocabulary_kl.ways(one, 6, torch.device("cpu")).keys() for one in vocabularies]
    assert "dense" in found[0] and "dense" not in found[1]
