"""A compiled graph whose products have weights of 8 bits, for an engine that rounds what they multiply to 8 bits too.

Such an engine gives each row's numbers scales of their own, so a row's answer does not feel its company. Two things
would cost more than that rounding is worth, and are met here, after SmoothQuant (Xiao et al. 2023, arXiv 2211.10438)
and LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339):

- A few numbers of a row are many times the others and take the scale for themselves: each is divided by a factor, and
  the weights that it meets are multiplied by it, so that both lose alike.
- What comes from behind an activation function, into a product that narrows, is uneven in another way in every row.
  Those products stay as they are: a third of MiniLM's arithmetic.

MiniLM in OpenVINO, AVX-512 VNNI, 480 texts of six sets, the least cosine to fp32 and the time of 32 rows of 16 tokens:
bf16 0.99998, 58 ms; this 0.9994, 44 ms; with a scale for each 128 numbers 0.9996, 46 ms, then with narrowing products
too 0.9991, 40 ms, and without factors 0.9967 (in simulation).
"""
# pyright: reportUnknownMemberType=false
# onnx leaves the list methods of its messages untyped.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tsugiki.backbones.inputs import stack
from tsugiki.backbones.replaced import drop_unread
from tsugiki.backbones.session import Session
from tsugiki.backbones.sites import Site, linear_sites

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

LARGEST: Final = 127
LEAST: Final = 1e-5  # of a magnitude: what is always 0 is divided by something too
SEEN: Final = "eight_bits.seen"


def seen(graph: Path, rows: Sequence[InputRow]) -> Mapping[str, Floats]:
    """How far from 0 the numbers get that each module to be changed reads, (in,) by its name, over these rows."""
    model = onnx.load(graph, load_external_data=False)
    sites = _chosen(model)
    if not sites:
        return {}
    for site in sites:
        flat = _constant(model, f"{site.module}.seen.flat", np.array([-1, site.in_features], np.int64))
        places = _constant(model, f"{site.module}.seen.places", np.array([0], np.int64))
        for kind, inputs, output in (
            ("Reshape", [site.node.input[0], flat], "rows"),
            ("Abs", [f"{site.module}.seen.rows"], "distances"),
            ("ReduceMax", [f"{site.module}.seen.distances", places], "most"),
        ):
            model.graph.node.append(helper.make_node(kind, inputs, [f"{site.module}.seen.{output}"]))
            if kind == "ReduceMax":
                model.graph.node[-1].attribute.append(helper.make_attribute("keepdims", 0))
    model.graph.node.append(helper.make_node("Concat", [f"{site.module}.seen.most" for site in sites], [SEEN], axis=0))
    model.graph.output.append(helper.make_tensor_value_info(SEEN, TensorProto.FLOAT, ["numbers"]))
    session = Session(model.SerializeToString(), threads=1)
    # One by one: beside a longer row there would be padding, which counts nowhere else either.
    most = np.max([session.run(SEEN, stack([row])) for row in rows], axis=0)
    ends = np.cumsum([site.in_features for site in sites])[:-1]
    return {site.module: part for site, part in zip(sites, np.split(most, ends), strict=True)}


def in_eight_bits(graph: Path, magnitudes: Mapping[str, Floats]) -> bytes:
    """The graph, or a bank graph over it, with the modules of `magnitudes` (see `seen`) changed; others as they are."""
    model = onnx.load(graph, load_external_data=False)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    changed = {site.node.output[0]: site for site in _chosen(model) if site.module in magnitudes}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if (site := changed.get(node.output[0])) is not None:
            nodes += _before(model, site, numpy_helper.to_array(weights[site.weight]), magnitudes[site.module])
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unread(model)
    return model.SerializeToString()


def _chosen(model: onnx.ModelProto) -> list[Site]:
    """Products that do not narrow."""
    sites = linear_sites(model).values()
    return [site for site in sites if not site.convolution and site.out_features >= site.in_features]


def _before(model: onnx.ModelProto, site: Site, weight: Floats, magnitudes: Floats) -> list[NodeProto]:
    """What the product reads instead: its input divided by factors, and its weights (in, out) times them, in bytes."""
    name, product = f"eight_bits.{site.module}", site.node
    factors = np.sqrt(np.maximum(magnitudes, LEAST) / np.maximum(np.abs(weight).max(axis=1), LEAST))
    weight = weight * factors[:, None]
    scales = np.maximum(np.abs(weight).max(axis=0), LEAST) / LARGEST
    scaled = _constant(model, f"{name}.inverse", np.asarray(1.0 / factors, np.float32))
    kept = _constant(model, f"{name}.bytes", np.rint(weight / scales).astype(np.int8))
    columns = _constant(model, f"{name}.scales", np.asarray(scales, np.float32))
    nodes = [
        helper.make_node("Mul", [product.input[0], scaled], [f"{name}.x"], f"{name}.x"),
        helper.make_node("DequantizeLinear", [kept, columns], [f"{name}.weight"], f"{name}.weight", axis=1),
    ]
    product.input[0], product.input[1] = f"{name}.x", f"{name}.weight"
    return nodes


def _constant(model: onnx.ModelProto, name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name
