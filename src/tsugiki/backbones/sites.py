"""Where a compiled graph multiplies by a module's weights: found by the scopes that torch's exporter writes."""
# pyright: reportUnknownMemberType=false
# onnx types the fields of its messages, but not the list methods behind them.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

WRAPPED = "encoder."  # graph.py holds the network in this attribute; its own names begin behind it
SCOPES = "pkg.torch.onnx.name_scopes"
QUOTED = re.compile(r"'([^']*)'")  # names in a list's own spelling; module names have no quotes
BLOCK = re.compile(r"(?:^|\.)(\d+)\.")  # in a module's name
VALUE = frozenset({"value", "v_lin", "v", "v_proj"})  # suffixes of the modules that yield attention's values
# Of the modules that small adapters usually change (peft's defaults for BERT, DistilBERT, MPNet, Llama).
QUERY_AND_VALUE = frozenset({"query", "q_lin", "q", "q_proj"}) | VALUE


@dataclass(frozen=True, slots=True)
class Site:
    """A linear module in a graph: the product's node, with `weight` the name of its constant.

    That is (in, out) of a product and (out, in, 1, 1) of a convolution, which is the same product at every place.
    `added` is the node behind a product that adds the constant `bias`; a convolution adds its own.
    """

    module: str
    node: onnx.NodeProto
    weight: str
    in_features: int
    out_features: int
    added: onnx.NodeProto | None = None
    bias: str | None = None

    @property
    def convolution(self) -> bool:
        return self.node.op_type == "Conv"

    @property
    def end(self) -> onnx.NodeProto:
        """What yields the module's output."""
        return self.node if self.added is None else self.added


def linear_sites(model: onnx.ModelProto) -> dict[str, Site]:
    """The linear modules by name, in the graph's order: `encoder.layer.0.attention.self.query`, ...

    1 x 1 convolutions are linear modules; those of one channel each, or that leave places out, are not.
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: dict[str, Site] = {}
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Conv"):
            continue
        shape = tuple(int(side) for side in shapes.get(node.input[1], ()))
        module = module_of(node)
        if node.op_type == "MatMul" and len(shape) == 2:
            added, bias = _added(readers.get(node.output[0], []), shapes, shape[1])
            found[module] = Site(module, node, node.input[1], shape[0], shape[1], added, bias)
        elif node.op_type == "Conv" and shape[2:] == (1, 1) and _goes_everywhere(node):
            found[module] = Site(module, node, node.input[1], shape[1], shape[0])
    return found


def _added(
    readers: Sequence[onnx.NodeProto], shapes: Mapping[str, tuple[int, ...]], features: int
) -> tuple[onnx.NodeProto, str] | tuple[None, None]:
    """What adds a constant vector to a product, and that vector's name, if nothing else reads the product."""
    if len(readers) == 1 and readers[0].op_type == "Add":
        for name in readers[0].input:
            if shapes.get(name) == (features,):
                return readers[0], name
    return None, None


def _goes_everywhere(node: onnx.NodeProto) -> bool:
    """Whether a convolution joins all channels, at every place."""
    told = {attribute.name: attribute for attribute in node.attribute}
    strides = tuple(told["strides"].ints) if "strides" in told else (1, 1)
    return strides == (1, 1) and ("group" not in told or told["group"].i == 1)


def linear_shapes(graph: Path) -> dict[str, tuple[int, int]]:
    """(in, out) of each linear module of a compiled graph, in its order."""
    import onnx

    sites = linear_sites(onnx.load(graph, load_external_data=False))
    return {module: (site.in_features, site.out_features) for module, site in sites.items()}


def covering(known: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The modules of `known` a bank for `wanted` spans: few of them where that is enough, else all.

    The few are query and value; in a network without attention the upper half of its blocks and what follows. Few sets,
    so that adapters of many shapes share banks and graphs.
    """
    few = tuple(module for module in known if module.rpartition(".")[2] in QUERY_AND_VALUE) or _upper_half(known)
    return few if set(wanted) <= set(few) else tuple(known)


def _upper_half(known: Sequence[str]) -> tuple[str, ...]:
    """Of modules in the graph's order, `blocks.0.project`, ..., `top`; none where the names count no blocks.

    A convolution of the lower half has up to 256 times the places of one of the upper: of EfficientNet-Lite0, eight
    adapters a pass cost 1.24 times the pass without any in onnxruntime, 1.27 in OpenVINO; on all blocks 2.05 and 2.43.
    """
    numbers = [int(found[1]) if (found := BLOCK.search(module)) else None for module in known]
    counted = [number for number in numbers if number is not None]
    if not counted:
        return ()
    middle = (max(counted) + 1) // 2
    first = next(place for place, number in enumerate(numbers) if number is not None and number >= middle)
    return tuple(known[first:])


def module_of(node: onnx.NodeProto) -> str:
    """The module whose operator a node is; empty where none is known.

    `["", "encoder", ..., "encoder.encoder.layer.0.output.dense", "linear_5"] -> "encoder.layer.0.output.dense"`
    """
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            # Not by `ast`, whose parser fails now and then in threads: https://github.com/python/cpython/issues/106905
            scopes: list[str] = QUOTED.findall(entry.value)
            return scopes[-2].removeprefix(WRAPPED) if len(scopes) > 1 else ""
    return ""
