"""One ONNX graph from tokens to probabilities: the compiled backbone with a graft's head behind it."""
# pyright: reportUnknownMemberType=false
# onnx types the fields of its messages, but not the list methods behind them.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tsugiki.backbones.signature import FEATURES
from tsugiki.domain import SOFTENED, Head, HeadScope

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBABILITIES: Final = "probabilities"  # (batch, classes) float32, rows sum to 1 but where labels stand alone
# float32, of a head with a scope (batch,): below 0 the row is out of it; of a head with thresholds (batch, classes):
# below 0 the label is not given, and what a scope tells is FAMILIARITY then.
MARGIN: Final = "margin"
FAMILIARITY: Final = "familiarity"

ATTRIBUTES: Final[dict[str, dict[str, Any]]] = {  # Any: as make_node takes them
    "ReduceMax": {"keepdims": 0},
    "ReduceSumSquare": {"keepdims": 0},
    "Softmax": {"axis": -1},
}


def read(graph: Path) -> onnx.ModelProto:
    return onnx.load(graph, load_external_data=False)


def append_head(model: onnx.ModelProto, head: Head) -> None:
    """Changes `model`, which yields features, to yield probabilities, and margins where the head has any."""
    weights = {
        "head.weight": head.weight.T,
        "head.bias": head.bias,
        "head.temperature": np.array(head.temperature),
    }
    shape: Sequence[str | int] = ("batch", len(head.labels))
    outputs = [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape)]
    nodes = _head_nodes("Softmax" if head.thresholds is None else "Sigmoid")
    if head.thresholds is not None:
        weights["head.thresholds"] = head.thresholds
        nodes.append(helper.make_node("Sub", [PROBABILITIES, "head.thresholds"], [MARGIN], "head.margin"))
        outputs.append(helper.make_tensor_value_info(MARGIN, TensorProto.FLOAT, shape))
    if head.scope is not None:
        told = MARGIN if head.thresholds is None else FAMILIARITY
        weights |= _scope_weights(head.scope, each=head.thresholds is not None)
        nodes += _scope_nodes(told, each=head.thresholds is not None)
        outputs.append(helper.make_tensor_value_info(told, TensorProto.FLOAT, ("batch",)))
        axes = numpy_helper.from_array(np.array([1], np.int64), "scope.axes")
        model.graph.initializer.append(axes)
    for name, values in weights.items():
        tensor = numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name)
        model.graph.initializer.append(tensor)
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.extend(outputs)


def write(model: onnx.ModelProto, destination: Path) -> None:
    """Weights inside the file; the same model gives the same bytes."""
    onnx.checker.check_model(model)
    destination.write_bytes(model.SerializeToString(deterministic=True))


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard operators, whose domain is the empty string."""
    return next(entry.version for entry in model.opset_import if not entry.domain)


def _head_nodes(chances: str) -> list[NodeProto]:
    """`chances` is the operator that makes probabilities of scores."""
    return [
        helper.make_node("MatMul", [FEATURES, "head.weight"], ["head.product"], "head.product"),
        helper.make_node("Add", ["head.product", "head.bias"], ["head.logits"], "head.logits"),
        helper.make_node("Div", ["head.logits", "head.temperature"], ["head.scaled"], "head.scaled"),
        helper.make_node(chances, ["head.scaled"], [PROBABILITIES], "head.chances", **ATTRIBUTES.get(chances, {})),
    ]


def _scope_weights(scope: HeadScope, *, each: bool) -> dict[str, NDArray[np.float32]]:
    softened = {} if each else {"scope.softened": np.array(SOFTENED, np.float32)}
    return {
        **softened,
        "scope.means": 2.0 * scope.means.T,
        "scope.lengths": (scope.means * scope.means).sum(axis=1),
        "scope.certainty": np.array(scope.certainty, np.float32),
        "scope.least": np.array(scope.least, np.float32),
    }


def _scope_nodes(told: str, *, each: bool) -> list[NodeProto]:
    """See `HeadScope`: `each` of its labels a question of its own, or not. The axes to reduce are an input since
    operator set 18.
    """
    chances = "scope.chances"
    softened = (
        ("Div", ("head.scaled", "scope.softened"), "scope.scaled"),
        ("Softmax", ("scope.scaled",), chances),
    )
    steps = (
        ("MatMul", (FEATURES, "scope.means"), "scope.product"),
        ("Sub", ("scope.product", "scope.lengths"), "scope.near"),
        ("ReduceMax", ("scope.near", "scope.axes"), "scope.nearest"),
        ("ReduceSumSquare", (FEATURES, "scope.axes"), "scope.length"),
        ("Sub", ("scope.nearest", "scope.length"), "scope.nearness"),
        *(() if each else softened),
        ("ReduceMax", (PROBABILITIES if each else chances, "scope.axes"), "scope.sure"),
        ("Mul", ("scope.sure", "scope.certainty"), "scope.weighed"),
        ("Add", ("scope.nearness", "scope.weighed"), "scope.familiarity"),
        ("Sub", ("scope.familiarity", "scope.least"), told),
    )
    return [
        helper.make_node(operator, list(inputs), [output], f"node.{output}", **ATTRIBUTES.get(operator, {}))
        for operator, inputs, output in steps
    ]
