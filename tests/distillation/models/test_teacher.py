"""The teacher's predictions are compared alike in each of their forms."""

import pytest
import torch
from torch import nn

from distillation.losses import kl_loss
from distillation.models.teacher import HeadStates, Logits
from distillation.vocabularies.cross_vocabulary_kl import CandidateKL


@torch.no_grad()
def test_the_temperature_of_a_step_reaches_logits_and_states():
    """One that changes during a run must not stay what it was when the run began, across vocabularies or cached."""
    torch.manual_seed(0)
    student, states, layer = torch.randn(5, 20), torch.randn(5, 6), nn.Linear(6, 20)
    forms = Logits(layer(states)), HeadStates(states, CandidateKL(None, layer))
    for temperature in (1.0, 3.0):
        expected, found = (form.compare(kl_loss, student, ((1, 5),), temperature).item() for form in forms)
        assert found == pytest.approx(expected, rel=1e-5)
