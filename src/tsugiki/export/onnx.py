"""One ONNX graph from tokens to probabilities: the compiled backbone with a graft's head behind it."""
# pyright: reportUnknownMemberType=false
# onnx types the fields of its messages, but not the list methods behind them.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tsugiki.backbones.signature import FEATURES
from tsugiki.domain import Head

PROBABILITIES: Final = "probabilities"  # (batch, classes) float32, rows sum to 1


def read(graph: Path) -> onnx.ModelProto:
    return onnx.load(graph, load_external_data=False)


def append_head(model: onnx.ModelProto, head: Head) -> None:
    """Changes `model`, which yields features, to yield probabilities = softmax((weight @ x + bias) / temperature)."""
    weights = {
        "head.weight": head.weight.T,
        "head.bias": head.bias,
        "head.temperature": np.array(head.temperature),
    }
    for name, values in weights.items():
        tensor = numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name)
        model.graph.initializer.append(tensor)
    model.graph.node.extend(_head_nodes())
    del model.graph.output[:]
    shape: Sequence[str | int] = ("batch", len(head.labels))
    model.graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape))


def write(model: onnx.ModelProto, destination: Path) -> None:
    """Weights inside the file; the same model gives the same bytes."""
    onnx.checker.check_model(model)
    destination.write_bytes(model.SerializeToString(deterministic=True))


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard operators, whose domain is the empty string."""
    return next(entry.version for entry in model.opset_import if not entry.domain)


def _head_nodes() -> list[NodeProto]:
    return [
        helper.make_node("MatMul", [FEATURES, "head.weight"], ["head.product"], "head.product"),
        helper.make_node("Add", ["head.product", "head.bias"], ["head.logits"], "head.logits"),
        helper.make_node("Div", ["head.logits", "head.temperature"], ["head.scaled"], "head.scaled"),
        helper.make_node("Softmax", ["head.scaled"], [PROBABILITIES], "head.softmax", axis=-1),
    ]
