"""One forward pass gives what the terms need, no more, and never an empty answer."""

import pytest
import torch
from transformers import (
    DistilBertConfig,
    DistilBertForMaskedLM,
    FunnelConfig,
    FunnelForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
)

from distillation.config.errors import UserError
from distillation.models.student import Projections, Student, set_dropout

INPUTS = {"input_ids": torch.tensor([[4, 5, 6, 0]]), "attention_mask": torch.tensor([[1, 1, 1, 0]])}


def make_student(teacher_width=8, attention="eager"):
    config = DistilBertConfig(vocab_size=20, dim=8, n_layers=3, n_heads=2, hidden_dim=16, max_position_embeddings=8)
    config._attn_implementation = attention
    return Student(DistilBertForMaskedLM(config).eval(), Projections([0, 2], 8, teacher_width))


def run(student, hidden_states=True, attentions=True):
    return student(INPUTS, torch.tensor([2, 0]), hidden_states=hidden_states, attentions=attentions, rows=1)


@pytest.mark.parametrize("teacher_width", [8, 12])
def test_outputs_are_those_of_the_model_in_the_teachers_width(teacher_width):
    """Hidden states start with the first layer: the embeddings belong to no group. Only what is asked for is made."""
    student = make_student(teacher_width)
    outputs = run(student)
    full = student.model(**INPUTS, output_hidden_states=True, output_attentions=True)
    torch.testing.assert_close(outputs.logits, full.logits[0, [2, 0]])
    assert len(outputs.hidden_states) == len(outputs.attentions) == 3
    for k in range(3):
        compared = teacher_width == 12 and k != 1  # between equal widths a projection would change what is compared
        projection = student.projections[str(k)] if compared else torch.nn.Identity()
        torch.testing.assert_close(outputs.hidden_states[k], projection(full.hidden_states[k + 1]))
        torch.testing.assert_close(outputs.attentions[k], full.attentions[k])
    outputs = run(student, False, False)
    assert outputs.hidden_states is None and outputs.attentions is None


def test_missing_maps_are_an_error_and_not_a_loss_of_zero():
    """sdpa answers with an empty tuple."""
    with pytest.raises(UserError, match="weight_attention.*gives 0 such maps for 3 layers"):
        run(make_student(attention="sdpa"))


SMALL = dict(vocab_size=20, pad_token_id=0, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        (ModernBertForMaskedLM, ModernBertConfig(hidden_size=8, **SMALL)),
        (FunnelForMaskedLM, FunnelConfig(vocab_size=20, block_sizes=[1], d_model=8, n_head=2, d_head=4, d_inner=8)),
    ],
)
def test_dropout_by_all_names(model_class, config):
    """One that is forgotten would stay, without an error."""
    set_dropout(config, 0.25, with_maps=False)
    rates = {module.p for module in model_class(config).modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25}
