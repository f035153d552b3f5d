"""A compiled backbone with some of its weights replaced: what a fine-tuned network is served from."""
# pyright: reportUnknownMemberType=false
# onnx types the fields of its messages, but not the list methods behind them.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from tsugiki.backbones.sites import WRAPPED, linear_sites
from tsugiki.errors import ArtifactCorrupt

if TYPE_CHECKING:
    from tsugiki.domain import Floats, WeightsDelta

WEIGHT = ".weight"


def write_replaced(graph: Path, destination: Path, delta: WeightsDelta) -> None:
    """The compiled `graph` with the delta's tensors in place of its own.

    Raises ArtifactCorrupt for a tensor that the graph has not, or has in another shape.
    """
    model = onnx.load(graph, load_external_data=False)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    sites = linear_sites(model)
    for name, values in delta.tensors.items():
        module = name.removesuffix(WEIGHT)
        if name.endswith(WEIGHT) and module in sites:
            _replace(constants[sites[module].weight], values.T, name)  # the exporter folds the transposition
        elif WRAPPED + name in constants:
            _replace(constants[WRAPPED + name], values, name)
        else:
            raise ArtifactCorrupt(f"The graft replaces {name}, which the backbone does not have.")
    destination.write_bytes(model.SerializeToString(deterministic=True))


def _replace(tensor: onnx.TensorProto, values: Floats, name: str) -> None:
    if tuple(tensor.dims) != values.shape:
        raise ArtifactCorrupt(f"The graft's {name} is {values.shape}, the backbone's {tuple(tensor.dims)}.")
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), tensor.name))
