# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# onnx leaves the list methods of its messages untyped, onnxruntime what a run returns.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from tsugiki.backbones import Loaded
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.session import Session
from tsugiki.backbones.signature import OPSET
from tsugiki.export import onnx
from tsugiki.export.quantise import TABLE_ROWS, quantise

if TYPE_CHECKING:
    from tsugiki.domain import Floats


@pytest.fixture(scope="module")
def quantised(tiny: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    model = onnx.read(tiny.graph)
    quantise(model)
    onnx.write(model, path)
    return path


def run(graph: Path, tiny: Loaded, texts: tuple[str, ...]) -> Floats:
    rows = [prepared.row for prepared in tiny.backbone.prepare(texts)]
    return Session(graph, threads=1).run("features", stack(rows))


def test_features_stay_near_those_of_fp32(
    quantised: Path, tiny: Loaded, texts: tuple[str, ...], features: Floats
) -> None:
    cosines = (run(quantised, tiny, texts) * features).sum(axis=1)
    assert cosines.min() > 0.995


def test_row_answers_the_same_beside_any_other(quantised: Path, tiny: Loaded, texts: tuple[str, ...]) -> None:
    alone = np.concatenate([run(quantised, tiny, (text,)) for text in texts])
    np.testing.assert_allclose(run(quantised, tiny, texts), alone, atol=1e-5)


def test_weights_are_8_bit_and_the_word_table_is_not_kept_twice(quantised: Path) -> None:
    model = onnx.read(quantised)
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("MatMulNBits") == 12  # six in each of two layers
    assert "DynamicQuantizeLinear" not in operators
    tables = [tensor.name for tensor in model.graph.initializer if tensor.dims and tensor.dims[0] > TABLE_ROWS]
    assert sorted(name.rpartition(".")[2] for name in tables) == ["int8", "scale"]


@pytest.mark.parametrize(("groups", "packed"), [(1, True), (8, False)])
def test_kernels_of_several_channels_are_8_bit(groups: int, packed: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    kernels = random.standard_normal((16, 8 // groups, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "kernels"], ["y"], "convolution", group=groups)
    rows = random.standard_normal((2, 8, 6, 6)).astype(np.float32)
    exact = answer(one(node, kernels, "kernels", (8, 6, 6)), tmp_path, rows)
    model = one(node, kernels, "kernels", (8, 6, 6))
    quantise(model)
    assert {tensor.data_type for tensor in model.graph.initializer if tensor.name.startswith("kernels")} == (
        {TensorProto.INT8, TensorProto.FLOAT} if packed else {TensorProto.FLOAT}
    )
    assert ("kernels" in {tensor.name for tensor in model.graph.initializer}) is not packed
    assert distance(answer(model, tmp_path, rows), exact) < 0.02


@pytest.mark.parametrize("inner", [1, 32, 40])
def test_any_number_of_rows_of_weights_is_packed(inner: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((inner, 5)).astype(np.float32)
    model = one(helper.make_node("MatMul", ["x", "weight"], ["y"], "product"), weight, "weight", (inner,))
    quantise(model)
    rows = random.standard_normal((3, inner)).astype(np.float32)
    assert distance(answer(model, tmp_path, rows), rows @ weight) < 0.02


def one(node: NodeProto, weights: Floats, name: str, shape: tuple[int, ...]) -> ModelProto:
    """A model of one node over rows of `shape`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("rows", *shape))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", *[None] * len(shape)])
    graph = helper.make_graph([node], "one", [x], [y], [numpy_helper.from_array(weights, name)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def answer(model: ModelProto, folder: Path, rows: Floats) -> Floats:
    onnx.write(model, folder / "model.onnx")
    return np.asarray(InferenceSession(str(folder / "model.onnx")).run(["y"], {"x": rows})[0])


def distance(found: Floats, wanted: Floats) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
