"""bf16 is chosen where it is faster, and never for what it would blur."""

import pytest
import torch

from distillation.teacher_cache import targets
from distillation.teacher_cache.precision import faster_in_bf16


@pytest.mark.parametrize(
    ("exact", "half", "chosen"), [(0.1, 0.05, True), (0.1, 0.09, False), (0.1, 0.3, False), (0.004, 0.001, False)]
)
def test_the_faster_precision_is_chosen_by_the_clock(exact, half, chosen):
    """On a CPU without instructions for bf16 a pass would take several times as long."""
    now = [0.0]

    def run():
        now[0] += half if torch.is_autocast_enabled("cpu") else exact

    assert faster_in_bf16(run, lambda: now[0]) == chosen


@pytest.mark.parametrize(("objective", "chosen"), [(dict(weight_cosine=0.0), True), (dict(weight_cosine=1.0), False)])
def test_predictions_alone_may_be_made_in_bf16(make_trainer, monkeypatch, objective, chosen):
    """Hidden states and maps are compared number by number. The KL does not change."""
    exact = make_trainer("exact", objective=objective).evaluate()["eval_kl"]
    monkeypatch.setattr(targets, "faster_in_bf16", lambda run: True)
    trainer = make_trainer("cached", cache={}, objective=objective)
    assert trainer.targets.bf16 == chosen and trainer.evaluate()["eval_kl"] == pytest.approx(exact, rel=0.01)
