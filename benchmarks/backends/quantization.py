"""Turns an ONNX graph to int8: matrix products by ONNX Runtime's dynamic quantisation, embedding tables here.

A table is stored once, in int8 with a scale for each row (token), even if it is also the vocabulary projection of a
masked LM. Rows are looked up and multiplied by their scales; the projection is an integer product with the same bytes.
ONNX Runtime's own quantisation would store two copies, in which all tokens share one scale.
"""

import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.backends.graph_export import for_older_runtimes, quiet

LARGEST = 127  # symmetric: zero stays zero
LAST_AXIS = "last_axis"


def quantize_onnx(source: Path, target: Path) -> None:
    """Write `source` in int8: weights with a scale by row or column, activations with one measured in each call."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        products = Path(folder, "products.onnx")
        quantize_dynamic(
            source,
            products,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},  # the graph has no types between nodes
        )
        model = onnx.load(products)
    quantize_tables(model)
    make_shared_unsigned(model.graph)
    for_older_runtimes(model)  # quantisation has added shapes again
    onnx.save(model, target)


def quantize_tables(model: ModelProto) -> None:
    """Replace each embedding table, and the projection that shares it, by int8 ones."""
    graph = model.graph
    tables, projections = _tables(graph)
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in tables:
            nodes += _lookup(node)
        elif node.op_type == "Transpose" and node.input[0] in tables:
            turned = f"{node.output[0]}_int8"
            nodes.append(helper.make_node("Transpose", [f"{node.input[0]}_int8"], [turned], perm=[1, 0]))
        elif node.op_type == "MatMul" and node.input[1] in projections:
            nodes += _projection(node, projections[node.input[1]])
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    for name, table in tables.items():
        integers, scales = by_row(numpy_helper.to_array(table))
        graph.initializer.remove(table)
        graph.initializer.append(numpy_helper.from_array(integers, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scale"))
    if tables:
        graph.initializer.append(numpy_helper.from_array(np.array([-1]), LAST_AXIS))


def make_shared_unsigned(graph: GraphProto) -> None:
    """Store int8 weights that several products read, as in ALBERT, as uint8 with 128 as their zero.

    With `session.x64quantprecision` ONNX Runtime does this itself, once for each product, and fails at the second.
    """
    readers = Counter(name for node in graph.node if node.op_type == "MatMulInteger" for name in node.input[1:2])
    shared = {name for name, count in readers.items() if count > 1}
    products = [node for node in graph.node if node.op_type == "MatMulInteger" and node.input[1] in shared]
    names = {name for node in products for name in node.input[1::2]}  # weights and their zeros
    for weight in graph.initializer:
        if weight.name in names:
            values = numpy_helper.to_array(weight).astype(np.int16) + 128
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.uint8), weight.name))


def by_row(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, width) in int8, and a scale for each row: values are integers * scales[:, None]."""
    scales = np.maximum(np.abs(values).max(1), np.finfo(np.float32).tiny) / LARGEST  # a row may be all zeros
    return np.rint(values / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def _tables(graph: GraphProto) -> tuple[dict[str, TensorProto], dict[str, str]]:
    """Embedding tables: matrices that only look-ups of rows and products with their transpose read. Also the names of
    these transposes, each with its table's."""
    readers: dict[str, set[tuple[str, int]]] = defaultdict(set)
    turned: dict[str, list[str]] = defaultdict(list)
    for node in graph.node:
        for place, name in enumerate(node.input):
            readers[name].add((node.op_type, place))
        if node.op_type == "Transpose":
            turned[node.input[0]].append(node.output[0])
    tables, projections = {}, {}
    for weight in graph.initializer:
        name, kinds = weight.name, readers[weight.name]
        is_table = weight.data_type == TensorProto.FLOAT and len(weight.dims) == 2 and ("Gather", 0) in kinds
        read_by_none_else = kinds <= {("Gather", 0), ("Transpose", 0)}
        if is_table and read_by_none_else and all(readers[other] <= {("MatMul", 1)} for other in turned[name]):
            tables[name] = weight
            projections |= dict.fromkeys(turned[name], name)
    return tables, projections


def _lookup(node: NodeProto) -> list[NodeProto]:
    """Looks up the rows of tokens."""
    (table, ids), out = node.input, node.output[0]
    return [
        helper.make_node("Gather", [f"{table}_int8", ids], [f"{out}_int8"]),
        helper.make_node("Cast", [f"{out}_int8"], [f"{out}_integers"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{table}_scale", ids], [f"{out}_row_scale"]),
        helper.make_node("Unsqueeze", [f"{out}_row_scale", LAST_AXIS], [f"{out}_row_scales"]),
        helper.make_node("Mul", [f"{out}_integers", f"{out}_row_scales"], [out]),
    ]


def _projection(node: NodeProto, table: str) -> list[NodeProto]:
    """States times the transposed table, in the form that ONNX Runtime fuses into one kernel."""
    (states, turned), out = node.input, node.output[0]
    quantized = [f"{out}_{part}" for part in ("states", "step", "zero")]
    return [
        helper.make_node("DynamicQuantizeLinear", [states], quantized),
        helper.make_node("MatMulInteger", [quantized[0], f"{turned}_int8", quantized[2]], [f"{out}_integers"]),
        helper.make_node("Cast", [f"{out}_integers"], [f"{out}_products"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [quantized[1], f"{table}_scale"], [f"{out}_scales"]),
        helper.make_node("Mul", [f"{out}_products", f"{out}_scales"], [out]),
    ]
