"""Heads at chosen positions: the same logits and gradients as full logits, for every architecture."""

import pytest
import torch
import transformers

from distillation.config.errors import UserError
from distillation.models.mlm_head import Runner, vocabulary_projection
from distillation.vocabularies.candidate_scores import teacher_rows

SHAPE = dict(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
SPECIAL = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
MODELS = dict.fromkeys(["Bert", "Roberta", "XLMRoberta", "DebertaV2"], SHAPE) | {
    "Electra": SHAPE | dict(embedding_size=8),
    "DebertaV2 new head": SHAPE | dict(legacy=False),
    "ModernBert": SHAPE | SPECIAL,
    "DistilBert": dict(vocab_size=50, dim=16, n_layers=2, n_heads=2, hidden_dim=24),
    "Funnel": dict(vocab_size=50, d_model=16, block_sizes=[1, 1], n_head=2, d_head=8, d_inner=24),
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    name = request.param.split()[0]
    config = getattr(transformers, f"{name}Config")(**MODELS[request.param], max_position_embeddings=18)
    return getattr(transformers, f"{name}ForMaskedLM")(config).eval()


@pytest.fixture
def sample():
    torch.manual_seed(1)
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[1, 5:] = mask[2, 3:] = 0
    return {"input_ids": torch.randint(3, 50, (3, 7)), "attention_mask": mask}


def logits(runner, sample, *positions):
    positions = torch.tensor(positions, dtype=torch.long)
    return runner(sample, positions, hidden_states=False, attentions=False).logits


@pytest.mark.parametrize("positions", [(0, 4, 2, 9, 15), ()], ids=str)
def test_same_logits_and_gradients_as_full_logits(model, sample, positions):
    """Positions of the wrong layout give no error. A batch in which nothing was hidden has to run, too."""
    runner = Runner(model)
    runner.check(sample, attentions=False)
    before, results = model(**sample).logits, []
    for chosen in (before.flatten(0, 1)[list(positions)], logits(runner, sample, *positions)):
        model.zero_grad()
        chosen.square().sum().backward()
        results.append((chosen, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (full, expected), (chosen, gradients) = results
    assert chosen.shape == (len(positions), 50)
    torch.testing.assert_close(chosen, full)
    assert len(expected) > 10
    torch.testing.assert_close({name: gradients[name] for name in expected}, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(IndexError):
        logits(runner, sample, 10_000)
    torch.testing.assert_close(model(**sample).logits, before)  # a hook that stayed would cut those of a later call


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=["fp32", "fp64"])
def test_rows_of_the_projection_give_the_logits_of_their_tokens(model, sample, dtype, tolerance):
    """Across vocabularies only some tokens are scored: their logits must be those of the full head, bias included."""
    model.to(dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    positions, ids = [15, 0, 4, 2], torch.tensor([49, 0, 7, 8])
    name = vocabulary_projection(model)
    states = logits(Runner(model, without=name), sample, *positions)
    assert (name is None) == (states.shape[1] == 50) == (getattr(model.config, "legacy", True) is False)
    projection = None if name is None else model.get_submodule(name)
    expected = model(**sample).logits.flatten(0, 1)[positions][:, ids]
    actual = teacher_rows(ids, projection, "cpu", dtype)(states).t()
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("ConvBert", dict(embedding_size=16, head_ratio=2), "weight_attention.* gives 0 such maps for 2 layers"),
        ("Longformer", dict(attention_window=4, pad_token_id=1), "weight_attention.* gives 0 such maps"),
        ("Funnel", dict(block_sizes=[2, 2], d_model=16, n_head=2, d_head=8, d_inner=24), "a state of each token"),
    ],
)
def test_maps_and_states_of_another_shape_are_one_sentence(sample, name, changes, message):
    """The terms would compare other heads, a window, or half of the positions."""
    shape = {key: value for key, value in SHAPE.items() if name != "Funnel" or key == "vocab_size"}
    config = getattr(transformers, f"{name}Config")(**shape | changes, max_position_embeddings=18)
    config._attn_implementation = "eager"
    runner = Runner(getattr(transformers, f"{name}ForMaskedLM")(config).eval())
    with pytest.raises(UserError, match=message):
        runner.check(sample, attentions=name != "Funnel", hidden_states=True)
    runner.check(sample, attentions=False, hidden_states=name != "Funnel")


def test_maps_that_are_no_probabilities_are_refused(sample):
    config = transformers.SqueezeBertConfig(**SHAPE, embedding_size=16, max_position_embeddings=18)
    config._attn_implementation = "eager"
    runner = Runner(transformers.SqueezeBertForMaskedLM(config).eval())
    with pytest.raises(UserError, match="weight_attention.* gives scores in place of attention probabilities"):
        runner.check(sample, attentions=True)
    runner.check(sample, attentions=False)


def test_a_head_at_the_wrong_place_is_found_out(model, sample):
    """The check at start-up is what a new architecture relies on."""
    runner = Runner(model)
    model.unused = torch.nn.Identity()
    runner.head = "unused"
    with pytest.raises(UserError, match="cannot be evaluated at chosen positions: give a model of another arch"):
        runner.check(sample, attentions=False)
