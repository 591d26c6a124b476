"""Int8: tables by row and stored once, products near those in fp32, and nothing touched that something else reads."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import TensorProto, helper, numpy_helper

from benchmarks.backends import quantization
from benchmarks.backends.quantization import by_row, quantize_tables
from finetuning.deployed import model as deployed
from finetuning.deployed.model import open_session
from tests.benchmarks.tiny_models import VOCABULARY

TOKENS, WIDTH = 50, 16
MATRICES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=st.floats(-1e6, 1e6, width=32))
LOOKUP = ("Gather", ["table", "ids"], ["states"], {})
TURN = ("Transpose", ["table"], ["turned"], {"perm": [1, 0]})
PROJECT = ("MatMul", ["states", "turned"], ["out"], {})


@given(MATRICES)
def test_nothing_is_off_by_more_than_half_a_step(values):
    """Each row has a scale of its own: 1 / 127 of its largest number."""
    integers, scales = by_row(values)
    assert integers.dtype == np.int8 and np.all(scales * 127 <= np.abs(values).max(1) * (1 + 1e-6) + 1e-30)
    exact = integers.astype(np.float64) * scales[:, None]
    assert np.all(np.abs(values - exact) <= scales[:, None] * (0.5 + 1e-4)) and np.all(integers != -128)


def graph(*nodes, rows=TOKENS):
    """A model of `ids` that gives `out`. Rows of its table have very different sizes, as those of tokens have."""
    draw = np.random.default_rng(0)
    table = (draw.normal(size=(rows, WIDTH)) * np.exp(2 * draw.normal(size=(rows, 1)))).astype(np.float32)
    built = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, **attributes) for kind, inputs, outputs, attributes in nodes],
        "graph",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", "length", None])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([0]), "states_of")],
    )
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def large_weights(model, least):
    found = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    return {(name, one.dtype.name, one.shape) for name, one in found.items() if one.size >= least}


def test_a_shared_table_is_stored_once():
    """With one scale for all tokens the small ones would have nothing left."""
    model, inputs = graph(LOOKUP, TURN, PROJECT), {"ids": np.arange(TOKENS).reshape(2, -1)}
    (right,) = open_session(model.SerializeToString(), 1).run(None, inputs)
    quantize_tables(model)
    (found,) = open_session(model.SerializeToString(), 1).run(None, inputs)
    assert large_weights(model, 2) == {("table_int8", "int8", (TOKENS, WIDTH)), ("table_scale", "float32", (TOKENS,))}
    assert (np.abs(found - right).max((0, 1)) / np.abs(right).max((0, 1))).max() < 0.2


SUM = ("ReduceSum", ["table"], ["sum"], {"keepdims": 0}), ("Add", ["states", "sum"], ["out"], {})
TRANSPOSE = TURN, ("Abs", ["turned"], ["other"], {}), ("MatMul", ["states", "other"], ["out"], {})
PRODUCT = ("Gather", ["table", "states_of"], ["none"], {}), ("MatMul", ["states", "table"], ["out"], {})


@pytest.mark.parametrize("readers", [SUM, TRANSPOSE, PRODUCT], ids=["sum", "transpose", "product"])
def test_a_table_that_something_else_reads_stays(readers):
    """What reads it would find nothing there, and the graph not open."""
    model = graph(LOOKUP, *readers, rows=WIDTH)
    before = model.SerializeToString()
    quantize_tables(model)
    assert model.SerializeToString() == before


def test_a_weight_that_several_products_read_is_stored_once(tmp_path, monkeypatch):
    """As in ALBERT. Without VNNI ONNX Runtime made it unsigned for each of them, and failed at the second."""
    once, twice = ("MatMul", ["states", "table"], ["once"], {}), ("MatMul", ["once", "table"], ["out"], {})
    onnx.save(graph(LOOKUP, once, twice, rows=WIDTH), tmp_path / "model.onnx")
    found = []
    for name, known in (("int8", ""), ("int8", "avx512_vnni"), ("signed", "avx512_vnni")):
        (tmp_path / "cpuinfo").write_text(known)
        monkeypatch.setattr(deployed, "PROCESSOR", tmp_path / "cpuinfo")
        if name == "signed":
            monkeypatch.setattr(quantization, "make_shared_unsigned", lambda graph: None)
        quantization.quantize_onnx(tmp_path / "model.onnx", tmp_path / f"{name}.onnx")
        found += open_session(tmp_path / f"{name}.onnx", 1).run(None, {"ids": np.arange(WIDTH).reshape(2, -1)})
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    stored = large_weights(onnx.load(tmp_path / "int8.onnx"), WIDTH * WIDTH)
    assert sorted(kind for _, kind, _ in stored) == ["int8", "uint8"]  # rows to look up, and the products'


def test_a_complete_model(built, masked_lm):
    """A byte for each weight of a matrix: with two copies of the table the file would be almost twice as large."""
    path = built("onnx-int8") / "model.onnx"
    model = onnx.load(path)
    assert not model.graph.value_info and model.ir_version == 9  # ONNX Runtime 1.18 trips over notes, 1.17 over 10
    ((_, *large),) = large_weights(model, VOCABULARY * 32)
    assert large == ["int8", (VOCABULARY, 32)] and path.stat().st_size < 1.6 * masked_lm.num_parameters()
