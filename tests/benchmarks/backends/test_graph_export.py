"""The graph says what the model says, for any batch, with attention as one node where that is possible."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import (
    DebertaV2Config,
    DebertaV2Model,
    ElectraConfig,
    ElectraModel,
    ModernBertConfig,
    ModernBertForQuestionAnswering,
    RobertaConfig,
    RobertaForMultipleChoice,
)

from benchmarks.backends.graph_export import FUSED, export_onnx, fuse_attention
from tests.benchmarks.tiny_models import POSITIONS, SHAPE, VOCABULARY, batch, lively, outputs_of

PAIR = ("input_ids", "attention_mask")
POSITIONAL = {"vocab_size": 200, "max_position_embeddings": POSITIONS}
WINDOWED = {"global_attn_every_n_layers": 2, "local_attention": 4, "pad_token_id": 0}
WINDOWED |= {f"{role}_token_id": 1 for role in ("bos", "eos", "cls", "sep")}
MODERNBERT = ModernBertForQuestionAnswering, ModernBertConfig(**POSITIONAL, **SHAPE, **WINDOWED)
ROBERTA = RobertaForMultipleChoice, RobertaConfig(**POSITIONAL, **SHAPE, pad_token_id=1)  # numbers by the padding
LENGTHS = [(7,), (1, 1), (12, 5, 9), (100, 3, 60, 99)]


def asked(model, lengths, names=PAIR):
    """Inputs of these lengths; where a model chooses, all of one batch are the choices of one question, twice."""
    inputs = batch(lengths, min(VOCABULARY, model.config.vocab_size), names)
    chooses = isinstance(model, RobertaForMultipleChoice)
    return {name: np.stack([one, one[::-1]]) if chooses else one for name, one in inputs.items()}


@pytest.fixture(scope="module", params=["bert", "roberta", "modernbert"])
def exported(request, built, masked_lm, tmp_path_factory):
    """A model, its graph, the names of its inputs, how many nodes attention should be, and the outputs expected."""
    if request.param == "bert":
        return (
            masked_lm,
            built("onnx") / "model.onnx",
            ("input_ids", "token_type_ids", "attention_mask"),
            2,
            ["logits"],
        )
    (model_class, config), nodes, outputs = {
        "roberta": (ROBERTA, 2, ["logits"]),
        "modernbert": (MODERNBERT, 0, ["start_logits", "end_logits"]),
    }[request.param]
    model, folder = lively(model_class, config), tmp_path_factory.mktemp(request.param)
    inputs = {name: torch.from_numpy(one.copy()) for name, one in asked(model, (9, 16)).items()}
    export_onnx(model, inputs, folder / "model.onnx")
    return model, folder / "model.onnx", PAIR, nodes, outputs


def test_outputs_are_those_of_the_model(exported):
    """For other batches and lengths than the example's, and with padding in any row."""
    model, path, names, _, outputs = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == list(names)
    assert [one.name for one in session.get_outputs()] == outputs
    for lengths in LENGTHS:
        inputs = asked(model, lengths, names)
        found, expected = session.run(None, inputs), outputs_of(model, inputs)
        unmasked = outputs_of(model, inputs | {"attention_mask": np.ones_like(inputs["attention_mask"])})
        for ours, theirs, wrong in zip(found, expected, unmasked, strict=True):
            real = inputs["attention_mask"].astype(bool) if ours.shape[1] == max(lengths) else ...
            np.testing.assert_allclose(ours[real], theirs[real], atol=1e-5, rtol=1e-5)
            assert len(set(lengths)) == 1 or np.abs(wrong[real] - theirs[real]).max() > 0.01  # padding would be seen


def test_attention_is_one_node_where_it_can_be(exported):
    """In PyTorch the node's stand-in gives nothing: the model is left as it was, or it would be of no use."""
    model, path, _, nodes, _ = exported
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("MultiHeadAttention") == nodes
    assert ("Softmax" in kinds) == (nodes == 0)
    assert model.config._attn_implementation == "sdpa"


def test_one_file_without_a_trace_of_this_machine(exported):
    """The exporter notes for each node where in the source it comes from."""
    model, path, *_ = exported
    assert [one.name for one in path.parent.iterdir()] == ["model.onnx"]
    content = path.read_bytes()
    assert b".py" not in content and b"/home" not in content and b"site-packages" not in content
    assert len(content) < 4 * model.num_parameters() + 60_000


@pytest.mark.parametrize(
    ("model_class", "config", "fused"),
    [
        (ElectraModel, ElectraConfig(embedding_size=16, **POSITIONAL, **SHAPE), True),
        (DebertaV2Model, DebertaV2Config(**POSITIONAL, **SHAPE, relative_attention=True, pos_att_type=["p2c"]), False),
        (*MODERNBERT, False),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_attention_of_a_special_kind_is_left_alone(model_class, config, fused):
    """As one node it would be another attention: without windows, or without relative positions."""
    model = lively(model_class, config)
    inputs = batch((6, 9), 200, PAIR)
    before = outputs_of(model, inputs)
    fuse_attention(model, {name: torch.from_numpy(one) for name, one in inputs.items()})
    assert (model.config._attn_implementation == FUSED) == fused
    if not fused:
        for ours, theirs in zip(outputs_of(model, inputs), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
