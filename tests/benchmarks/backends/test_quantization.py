"""Int8: tables by row and kept once, products near those in fp32, and nothing touched that something else reads."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import TensorProto, helper, numpy_helper

from benchmarks.backends.in_onnxruntime import session
from benchmarks.backends.quantization import by_row, quantize_tables
from tests.benchmarks.tiny_models import VOCABULARY, batch, outputs_of

TOKENS, WIDTH = 50, 16
MATRICES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=st.floats(-1e6, 1e6, width=32))


@given(MATRICES)
def test_nothing_is_off_by_more_than_half_a_step(values):
    """Each row has a scale of its own: 1 / 127 of its largest number."""
    integers, scales = by_row(values)
    assert integers.dtype == np.int8 and np.all(scales * 127 <= np.abs(values).max(1) * (1 + 1e-6) + 1e-30)
    exact = integers.astype(np.float64) * scales[:, None]
    assert np.all(np.abs(values - exact) <= scales[:, None] * (0.5 + 1e-4))
    assert np.all(np.abs(integers.astype(int)) <= 127)


def graph(*nodes, **weights):
    """A model of `ids` that gives `out`, of any shape."""
    built = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, **attributes) for kind, inputs, outputs, attributes in nodes],
        "graph",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", "length", None])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def weight(rows, columns, seed=0):
    """Rows of very different sizes, as those of tokens are."""
    draw = np.random.default_rng(seed)
    return (draw.normal(size=(rows, columns)) * np.exp(2 * draw.normal(size=(rows, 1)))).astype(np.float32)


LOOKUP = ("Gather", ["table", "ids"], ["states"], {})
TURN = ("Transpose", ["table"], ["turned"], {"perm": [1, 0]})
PROJECT = ("MatMul", ["states", "turned"], ["out"], {})


def run(model):
    return session(model.SerializeToString(), 1).run(None, {"ids": np.arange(TOKENS).reshape(2, -1)})[0]


def kept(model):
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def test_a_shared_table_is_kept_once():
    table = weight(TOKENS, WIDTH)
    model = graph(LOOKUP, TURN, PROJECT, table=table)
    expected = run(model)
    quantize_tables(model)
    assert {(name, one.dtype.name, one.shape) for name, one in kept(model).items() if one.size > 1} == {
        ("table_int8", "int8", (TOKENS, WIDTH)),
        ("table_scale", "float32", (TOKENS,)),
    }
    # With one scale for all tokens the small ones would have nothing left.
    error = np.abs(run(model) - expected).max((0, 1)) / np.abs(expected).max((0, 1))
    assert error.max() < 0.2


@pytest.mark.parametrize(
    "nodes",
    [
        [LOOKUP, ("ReduceSum", ["table"], ["sum"], {"keepdims": 0}), ("Add", ["states", "sum"], ["out"], {})],
        [LOOKUP, TURN, ("Abs", ["turned"], ["other"], {}), ("MatMul", ["states", "other"], ["out"], {})],
        [LOOKUP, ("Gather", ["table", "states_of"], ["none"], {}), ("MatMul", ["states", "table"], ["out"], {})],
    ],
    ids=["sum", "transpose", "product"],
)
def test_a_table_that_something_else_reads_stays(nodes):
    """What reads it would find nothing there, and the graph not open."""
    model = graph(*nodes, table=weight(WIDTH, WIDTH), states_of=np.array([0]))
    before = model.SerializeToString()
    quantize_tables(model)
    assert model.SerializeToString() == before


def test_a_whole_model(built, masked_lm):
    """A byte for each weight of a matrix: with two copies of the table the file would be almost twice as large."""
    path = built("onnx-int8") / "model.onnx"
    large = [one for one in kept(onnx.load(path)).values() if one.size >= VOCABULARY * 32]
    assert [(one.dtype.name, one.shape) for one in large] == [("int8", (VOCABULARY, 32))]
    assert path.stat().st_size < 1.6 * masked_lm.num_parameters()
    opened = session(path, 1)
    inputs = batch((30, 12, 25))
    real = inputs["attention_mask"].astype(bool)
    ours, theirs = opened.run(None, inputs)[0][real], outputs_of(masked_lm, inputs)[0][real]
    assert np.linalg.norm(ours - theirs) < 0.05 * np.linalg.norm(theirs)
    assert (ours.argmax(-1) == theirs.argmax(-1)).mean() > 0.85
