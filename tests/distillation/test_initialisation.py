"""First weights of the student, for every teacher whose layers can be copied."""

import logging

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from distillation.initialisation import activation, initialise
from distillation.recipe import RecipeError

SHAPE = dict(vocab_size=50, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64)
EXACT = dict(initializer_range=0.3, layer_norm_eps=1e-12)
TEACHERS = {
    "bert": lambda: BertForMaskedLM(BertConfig(**SHAPE, **EXACT, max_position_embeddings=12)),
    "roberta": lambda: RobertaForMaskedLM(RobertaConfig(**SHAPE, **EXACT, max_position_embeddings=14)),
    "xlm-roberta": lambda: XLMRobertaForMaskedLM(XLMRobertaConfig(**SHAPE, **EXACT, max_position_embeddings=14)),
    "distilbert": lambda: DistilBertForMaskedLM(
        DistilBertConfig(
            vocab_size=50,
            dim=16,
            n_layers=4,
            n_heads=2,
            hidden_dim=64,
            max_position_embeddings=12,
            initializer_range=0.3,
        )
    ),
}


def student(layers, width=16):
    torch.manual_seed(1)
    shape = dict(
        vocab_size=50, dim=width, n_layers=layers, n_heads=2, hidden_dim=4 * width, max_position_embeddings=12
    )
    return DistilBertForMaskedLM(DistilBertConfig(**shape)).eval()


@pytest.fixture(params=TEACHERS)
def teacher(request):
    torch.manual_seed(0)
    model = TEACHERS[request.param]().eval()
    for parameter in model.parameters():  # biases and layer norms start as zeros and ones, which hide mistakes
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.tie_weights()
    return model


@pytest.mark.parametrize("how", ["average", "select"])
def test_a_student_of_full_depth_is_the_teacher(teacher, how):
    """One wrong matrix, transposition, position, or token type, and the predictions differ."""
    ids = torch.randint(3, 50, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    ids[1, 6:] = teacher.config.pad_token_id
    copy = student(4)
    initialise(copy, teacher, how)
    expected = teacher(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(
        copy(input_ids=ids, attention_mask=mask).logits[mask.bool()], expected[mask.bool()], rtol=1e-4, atol=1e-4
    )


def test_average_and_select_by_hand(teacher):
    """Of 4 teacher layers a student of 2 takes (0 + 1) / 2 and (2 + 3) / 2, or 1 and 3."""
    root = {"bert": "bert.encoder.layer", "distilbert": "distilbert.transformer.layer"}.get(
        teacher.config.model_type, "roberta.encoder.layer"
    )
    part = "attention.q_lin.weight" if teacher.config.model_type == "distilbert" else "attention.self.query.weight"
    query = [teacher.state_dict()[f"{root}.{k}.{part}"] for k in range(4)]
    averaged, selected = student(2), student(2)
    initialise(averaged, teacher, "average")
    initialise(selected, teacher, "select")
    for k, (mean, last) in enumerate([((query[0] + query[1]) / 2, query[1]), ((query[2] + query[3]) / 2, query[3])]):
        name = f"distilbert.transformer.layer.{k}.attention.q_lin.weight"
        torch.testing.assert_close(averaged.state_dict()[name], mean)
        torch.testing.assert_close(selected.state_dict()[name], last)


def test_the_head_stays_tied_to_the_embeddings(teacher):
    """Untied, the student would have a third more parameters than published."""
    copy = student(2)
    initialise(copy, teacher, "average")
    assert copy.vocab_projector.weight is copy.distilbert.embeddings.word_embeddings.weight
    torch.testing.assert_close(copy.vocab_projector.weight, teacher.get_input_embeddings().weight)


def test_the_teacher_is_not_shared(teacher):
    """Student training must not write into the teacher's tensors."""
    copy = student(2)
    initialise(copy, teacher, "average")
    before = teacher.get_input_embeddings().weight.clone()
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.add_(1)
    assert torch.equal(teacher.get_input_embeddings().weight, before)


def test_random_takes_nothing(teacher):
    fresh, untouched = student(2), student(2)
    initialise(fresh, teacher, "random")
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), untouched.parameters(), strict=True))


def test_another_width_is_refused_with_the_remedy(teacher):
    with pytest.raises(RecipeError, match="student_initialisation: random"):
        initialise(student(2, width=8), teacher, "average")


def test_layers_that_do_not_fit_give_their_embeddings_and_say_so(caplog):
    """A ModernBERT layer has no counterpart; silence would let its user believe in a copy."""
    config = ModernBertConfig(**SHAPE, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
    teacher, copy, untouched = ModernBertForMaskedLM(config), student(2), student(2)
    with caplog.at_level(logging.WARNING):
        initialise(copy, teacher, "average")
    assert "modernbert" in caplog.text and "random" in caplog.text
    torch.testing.assert_close(copy.vocab_projector.weight, teacher.get_input_embeddings().weight)
    name = "distilbert.transformer.layer.0.attention.q_lin.weight"
    assert torch.equal(copy.state_dict()[name], untouched.state_dict()[name])


def test_embeddings_of_a_width_of_their_own_are_left_out_and_it_says_so(caplog):
    """ELECTRA's and ALBERT's embeddings are narrower than their layers: no matrix fits the student's."""
    teacher = ElectraForMaskedLM(ElectraConfig(**SHAPE, embedding_size=8))
    copy, untouched = student(2), student(2)
    with caplog.at_level(logging.WARNING):
        initialise(copy, teacher, "average")
    assert "electra" in caplog.text and "of another width" in caplog.text
    assert all(torch.equal(a, b) for a, b in zip(copy.parameters(), untouched.parameters(), strict=True))


def test_the_activation_goes_by_several_names():
    """A teacher that says `relu` under another name would be copied into a student that computes gelu."""
    assert activation(DistilBertConfig(activation="relu")) == "relu"
    assert activation(ModernBertConfig(hidden_activation="relu")) == "relu"
    assert activation(BertConfig(hidden_act="relu")) == "relu"
