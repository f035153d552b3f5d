"""The bank graph: a compiled backbone whose linear modules also read LoRA matrices, a row's own by its slot.

Per module two more inputs, `<module>.down` (slots, in, rank) and `<module>.up` (slots, rank, out), and one for all,
`slots` (groups,) int64. The batch is `groups` runs of equally many rows; a run reads one slot. So one adapter for the
whole batch is one large product, and an adapter a row is a gathered one: the same graph, by the length of `slots`.
"""
# pyright: reportUnknownMemberType=false
# onnx types the fields of its messages, but not the list methods behind them.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tsugiki.backbones.signature import SLOTS, down, up
from tsugiki.backbones.sites import Site, linear_sites
from tsugiki.ports import BankType

RECIPE = 3  # raise it whenever the same graph would get other nodes
TYPES = {"float32": TensorProto.FLOAT, "bfloat16": TensorProto.BFLOAT16}


def write_bank_graph(graph: Path, destination: Path, modules: Sequence[str], bank_type: BankType) -> None:
    """The compiled `graph` with LoRA inputs for `modules`. Raises KeyError for a module it has not."""
    model = onnx.load(graph, load_external_data=False)
    sites = linear_sites(model)
    added: dict[str, list[NodeProto]] = {}  # by the output of the module they follow
    _input(model, SLOTS, TensorProto.INT64, "groups")
    for site in (sites[module] for module in modules):
        _input(model, down(site.module), TYPES[bank_type], "slots", site.in_features, "rank")
        _input(model, up(site.module), TYPES[bank_type], "slots", "rank", site.out_features)
        added[site.end.output[0]] = _delta(model, site, bank_type)
    nodes = [helper.make_node("Shape", [SLOTS], ["lora.groups"], "lora.groups")]
    for node in model.graph.node:
        nodes.append(node)
        if (following := added.get(node.output[0])) is not None:
            node.output[0] = _plain(node.output[0])
            nodes += following
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    destination.write_bytes(model.SerializeToString(deterministic=True))


def _delta(model: onnx.ModelProto, site: Site, bank_type: BankType) -> list[NodeProto]:
    """Adds (x @ down) @ up to what the module yields, which is renamed.

    Behind its bias, so that engines still see the product and the bias as one operator.
    """
    name, own = f"lora.{site.module}", site.end.output[0]
    nodes: list[NodeProto] = []

    def constant(values: list[int], output: str) -> str:
        model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), output))
        return output

    def add(kind: str, inputs: list[str], output: str, attribute: tuple[str, int | list[int]] | None = None) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output))
        if attribute is not None:
            nodes[-1].attribute.append(helper.make_attribute(*attribute))
        return output

    def read(bank: str, output: str) -> str:
        gathered = add("Gather", [bank, SLOTS], output, ("axis", 0))
        # What is gathered is small; the bank as a whole must never be converted.
        return (
            gathered
            if bank_type == "float32"
            else add("Cast", [gathered], f"{output}.float", ("to", TensorProto.FLOAT))
        )

    def turned(bank: str, output: str) -> str:
        """(groups, 1, columns, rows): what multiplies channels that come before the places."""
        matrix = add("Transpose", [read(bank, output)], f"{output}.turned", ("perm", [0, 2, 1]))
        return add("Unsqueeze", [matrix, one], f"{output}.each")

    if site.convolution:
        one = constant([1], f"{name}.one")
        flat = add("Reshape", [site.node.input[0], constant([0, 0, -1], f"{name}.flat")], f"{name}.places")
        sides = add("Shape", [flat], f"{name}.sides", ("start", 1))
        run = add("Concat", ["lora.groups", constant([-1], f"{name}.any"), sides], f"{name}.runs", ("axis", 0))
        rows = add("Reshape", [flat, run], f"{name}.x")
        low = add("MatMul", [turned(down(site.module), f"{name}.a"), rows], f"{name}.low")
        high = add("MatMul", [turned(up(site.module), f"{name}.b"), low], f"{name}.high")
    else:
        shape = constant([-1, site.in_features], f"{name}.shape")
        run = add("Concat", ["lora.groups", shape], f"{name}.runs", ("axis", 0))
        rows = add("Reshape", [site.node.input[0], run], f"{name}.x")
        low = add("MatMul", [rows, read(down(site.module), f"{name}.a")], f"{name}.low")
        high = add("MatMul", [low, read(up(site.module), f"{name}.b")], f"{name}.high")
    as_it_was = add("Shape", [_plain(own)], f"{name}.like")
    delta = add("Reshape", [high, as_it_was], f"{name}.delta")
    add("Add", [_plain(own), delta], own)
    return nodes


def _input(model: onnx.ModelProto, name: str, kind: int, *shape: int | str) -> None:
    model.graph.input.append(helper.make_tensor_value_info(name, kind, shape))


def _plain(output: str) -> str:
    return f"{output}.plain"
