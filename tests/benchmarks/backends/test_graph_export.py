"""The graph says what the model says, for any batch, with attention as one node where that is possible."""

import numpy as np
import onnx
import onnxruntime
import pytest
import transformers as hf

from benchmarks.backends.graph_export import FUSED, export_onnx, fuse_attention, tensors
from tests.benchmarks.tiny_models import LAYER, NAMES, POSITIONS, SHAPE, VOCABULARY, batch, lively, outputs_of

PAIR = ("input_ids", "attention_mask")
SMALL = {"vocab_size": 200, "max_position_embeddings": POSITIONS, **SHAPE}
WINDOWED = {"global_attn_every_n_layers": 2, "local_attention": 4, "pad_token_id": 0}
WINDOWED |= {f"{role}_token_id": 1 for role in ("bos", "eos", "cls", "sep")}
MODERNBERT = hf.ModernBertForQuestionAnswering, hf.ModernBertConfig(**SMALL, **WINDOWED)
ROBERTA = hf.RobertaForMultipleChoice, hf.RobertaConfig(**SMALL | LAYER, pad_token_id=1)  # numbers places by padding


def queries(model, lengths, names=PAIR):
    """Inputs of these lengths; where a model chooses, all of one batch are the choices of one question, twice."""
    inputs = batch(lengths, min(VOCABULARY, model.config.vocab_size), names)
    chooses = isinstance(model, hf.RobertaForMultipleChoice)
    return {name: np.stack([one, one[::-1]]) if chooses else one for name, one in inputs.items()}


@pytest.fixture(scope="module", params=["bert", "roberta", "modernbert"])
def exported(request, built, masked_lm, tmp_path_factory):
    """A model, its graph, the names of its inputs, and how many nodes attention should be."""
    if request.param == "bert":
        return masked_lm, built("onnx") / "model.onnx", NAMES, 1
    special = request.param == "modernbert"
    model, path = lively(*(MODERNBERT if special else ROBERTA)), tmp_path_factory.mktemp(request.param) / "model.onnx"
    export_onnx(model, queries(model, (9, 16)), path)
    return model, path, PAIR, 0 if special else 1


@pytest.mark.parametrize("lengths", [(1, 1), (12, 5, 9), (100, 3, 60, 99)])
def test_outputs_are_those_of_the_model(exported, lengths):
    model, path, names, _ = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == list(names)
    assert {one.name for one in session.get_outputs()} <= {"logits", "start_logits", "end_logits"}
    inputs = queries(model, lengths, names)
    unmasked = outputs_of(model, inputs | {"attention_mask": np.ones_like(inputs["attention_mask"])})
    for one, right, wrong in zip(session.run(None, inputs), outputs_of(model, inputs), unmasked, strict=True):
        real = inputs["attention_mask"].astype(bool) if one.shape[1] == max(lengths) else ...
        np.testing.assert_allclose(one[real], right[real], atol=1e-5, rtol=1e-5)
        assert len(set(lengths)) == 1 or np.abs(wrong[real] - right[real]).max() > 0.01  # padding would be seen


def test_attention_is_one_node_and_nothing_tells_of_this_machine(exported):
    """The model is left as it was: in PyTorch the node's stand-in gives nothing. The exporter notes source files."""
    model, path, _, nodes = exported
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("MultiHeadAttention") == nodes and ("Softmax" in kinds) == (nodes == 0)
    assert nodes == 0 or kinds.count("Transpose") <= 1, "of the table; to turn states around takes 7 % of a short text"
    assert model.config._attn_implementation == "sdpa"
    content = path.read_bytes()
    assert [one.name for one in path.parent.iterdir()] == ["model.onnx"]
    assert b".py" not in content and len(content) < 4 * model.num_parameters() + 60_000


def test_what_older_runtimes_cannot_open_is_not_there(exported):
    """ONNX Runtime 1.17 and 1.18 end the process where a layer norm has no bias, and 1.18 reads shapes wrongly."""
    _, path, *_ = exported
    graph = onnx.load(path).graph
    norms = [node for node in graph.node if node.op_type == "LayerNormalization"]
    assert norms and all(len(node.input) == 3 for node in norms) and not graph.value_info


def test_attention_of_a_special_kind_is_left_alone():
    """As one node it would be another attention: without windows, or without relative positions."""
    deberta = hf.DebertaV2Model, hf.DebertaV2Config(**SMALL, relative_attention=True, pos_att_type=["p2c"])
    for kind in (deberta, MODERNBERT):
        model, inputs = lively(*kind), batch((6, 9), 200, PAIR)
        before = outputs_of(model, inputs)
        fuse_attention(model, tensors(inputs))
        assert model.config._attn_implementation != FUSED
        np.testing.assert_equal(outputs_of(model, inputs), before)
