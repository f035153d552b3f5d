"""A compiled backbone as a graft changes it: what a fine-tuned network is served from, and what is exported."""
# pyright: reportUnknownMemberType=false
# onnx types the fields of its messages, but not the list methods behind them.

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from tsugiki.backbones.sites import linear_sites, module_of
from tsugiki.domain import Delta, LoraDelta, WeightsDelta
from tsugiki.errors import ArtifactCorrupt

if TYPE_CHECKING:
    from tsugiki.domain import Floats

# Where the operators of a module read its parameters: operator -> input -> parameter. An Add's bias may be either.
READS = {
    "MatMul": {1: "weight"},
    "Add": {0: "bias", 1: "bias"},
    "Gather": {0: "weight"},
    "LayerNormalization": {1: "weight", 2: "bias"},
    "Conv": {1: "weight", 2: "bias"},
}


def write_replaced(graph: Path, destination: Path, delta: WeightsDelta) -> None:
    """The compiled `graph` as the delta changes it. Raises ArtifactCorrupt as `change` does."""
    model = onnx.load(graph, load_external_data=False)
    change(model, delta)
    destination.write_bytes(model.SerializeToString(deterministic=True))


def change(model: onnx.ModelProto, delta: Delta) -> None:
    """Puts the delta's tensors in place of the model's own, LoRA matrices added to what they adapt.

    Raises ArtifactCorrupt for a tensor that the model has not, or has in another shape.
    """
    tensors = delta.tensors if isinstance(delta, WeightsDelta) else _merged(model, delta)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    readers = _readers(model, shapes)
    for name, values in tensors.items():
        if name not in readers:
            raise ArtifactCorrupt(f"The graft replaces {name}, which the backbone does not have.")
        node, place = readers[name]
        # The exporter folds the transposition of a linear module's weight, and keeps equal tensors once for several
        # modules: so the reader gets a tensor of its own, and the others' stays.
        own = values.T if node.op_type == "MatMul" else values
        if shapes[node.input[place]] != own.shape:
            raise ArtifactCorrupt(f"The graft's {name} is {own.shape}, the backbone's {shapes[node.input[place]]}.")
        node.input[place] = f"replaced.{name}"
        model.graph.initializer.append(_tensor(own, node.input[place]))
    drop_unread(model)


def _merged(model: onnx.ModelProto, delta: LoraDelta) -> dict[str, Floats]:
    sites = linear_sites(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    merged: dict[str, Floats] = {}
    for module, pair in delta.modules.items():
        if module not in sites:
            raise ArtifactCorrupt(f"The graft adapts {module}, which the backbone does not have.")
        own: Floats = numpy_helper.to_array(constants[sites[module].weight])
        added = pair.down @ pair.up
        if sites[module].convolution:
            merged[f"{module}.weight"] = np.add(own, added.T.reshape(own.shape), dtype=np.float32)
        else:
            merged[f"{module}.weight"] = np.add(own, added, dtype=np.float32).T
    return merged


def _readers(model: onnx.ModelProto, constants: Container[str]) -> dict[str, tuple[onnx.NodeProto, int]]:
    """Parameter name -> the node that reads it, and as which input."""
    found: dict[str, tuple[onnx.NodeProto, int]] = {}
    for node in model.graph.node:
        for place, kind in READS.get(node.op_type, {}).items():
            if place < len(node.input) and node.input[place] in constants and (module := module_of(node)):
                found[f"{module}.{kind}"] = (node, place)
    return found


def drop_unread(model: onnx.ModelProto) -> None:
    """Constants that no node reads any more."""
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _tensor(values: Floats, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
