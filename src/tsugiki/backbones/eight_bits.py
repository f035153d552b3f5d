"""A compiled graph whose products have weights of 8 bits, for an engine that rounds what they multiply to 8 bits too.

Such an engine gives each row's numbers scales of their own, so a row's answer does not feel its company. Two things
would cost more than that rounding is worth, and are met here, after SmoothQuant (Xiao et al. 2023, arXiv 2211.10438)
and LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339):

- A few numbers of a row are many times the others and take the scale for themselves: each is divided by a factor, and
  the weights that it meets are multiplied by it, so that both lose alike.
- What comes from behind an activation function, into a product that narrows, is uneven in another way in every row.
  Those products stay as they are: a third of MiniLM's arithmetic.

Modules that read the same, as attention's queries, keys and values do, become one product, whose input is rounded once.
Their factors are the values': errors of queries and keys are evened out by the softmax behind them.

MiniLM in OpenVINO (its own kernels for attention), AVX-512 VNNI, the least cosine to fp32 of 480 texts of six sets,
and the time of 32 rows of 16 tokens; of one row, lengths in turn:
- bf16: 0.99998, a third longer than the next
- a product for each module, a scale for each 384 numbers: 0.9994, 47.7 ms; 3.60 ms. With narrowing products too, and
  scales for each 128: 0.9991; without factors 0.9967 (in simulation)
- one product for those that read the same: 0.9993, 46.6 ms; 3.26 ms (factors of all three together: 0.9989)
- this, with a scale for each 192 numbers: 0.9994, 47.3 ms; 3.31 ms
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
from tsugiki.backbones.sites import VALUE, Site, linear_sites

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

LARGEST: Final = 127
LEAST: Final = 1e-5  # of a magnitude: what is always 0 is divided by something too
# Numbers that a product reads. OpenVINO 2026.4, with AMX and several passes at a time, takes fewer by wrong weights.
READS: Final = 64
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
    together: dict[str, list[Site]] = {}  # by what they read
    for site in _chosen(model):
        if site.module in magnitudes:
            together.setdefault(site.node.input[0], []).append(site)
    instead: dict[str, list[NodeProto]] = {}  # by the output of the first product that goes
    gone: set[str] = set()
    for sites in together.values():
        arrays = {
            name: numpy_helper.to_array(weights[name]) for site in sites for name in (site.weight, site.bias) if name
        }
        instead[sites[0].node.output[0]] = _as_one(model, sites, arrays, magnitudes)
        gone |= {output for site in sites for output in (site.node.output[0], site.end.output[0])}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes += instead.get(node.output[0], [])
        if node.output[0] not in gone:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unread(model)
    return model.SerializeToString()


def _chosen(model: onnx.ModelProto) -> list[Site]:
    """Products that do not narrow, of so many numbers that it is worth it."""
    sites = linear_sites(model).values()
    return [site for site in sites if not site.convolution and site.out_features >= site.in_features >= READS]


def _as_one(
    model: onnx.ModelProto, sites: Sequence[Site], arrays: Mapping[str, Floats], magnitudes: Mapping[str, Floats]
) -> list[NodeProto]:
    """One product for modules that read the same, and what each of them yields: its input divided by factors, its
    weights (in, out) times them, in bytes.
    """
    name = f"eight_bits.{sites[0].module}"
    leading = next((site for site in sites if site.module.rpartition(".")[2] in VALUE), sites[-1])
    spread = np.abs(arrays[leading.weight]).max(axis=1)
    factors = np.sqrt(np.maximum(magnitudes[leading.module], LEAST) / np.maximum(spread, LEAST))
    weight = np.concatenate([arrays[site.weight] for site in sites], axis=1) * factors[:, None]
    scales = np.asarray(np.maximum(np.abs(weight).max(axis=0), LEAST) / LARGEST, np.float32)
    bias = np.concatenate(
        [np.zeros(site.out_features, np.float32) if site.bias is None else arrays[site.bias] for site in sites]
    )
    nodes: list[NodeProto] = []

    def constant(what: str, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
        return _constant(model, f"{name}.{what}", values)

    def add(kind: str, inputs: Sequence[str], *outputs: str, axis: int | None = None) -> str:
        nodes.append(helper.make_node(kind, inputs, outputs, outputs[0]))
        if axis is not None:
            nodes[-1].attribute.append(helper.make_attribute("axis", axis))
        return outputs[0]

    inverse = constant("inverse", np.asarray(1.0 / factors, np.float32))
    kept = [constant("bytes", np.rint(weight / scales).astype(np.int8)), constant("scales", scales)]
    read = [add("Mul", [sites[0].node.input[0], inverse], f"{name}.x")]
    read.append(add("DequantizeLinear", kept, f"{name}.weight", axis=1))
    summands = [add("MatMul", read, f"{name}.product"), constant("bias", bias)]
    yields = [site.end.output[0] for site in sites]
    if len(sites) == 1:
        add("Add", summands, yields[0])
    else:
        sides = constant("sides", np.array([site.out_features for site in sites], np.int64))
        add("Split", [add("Add", summands, f"{name}.whole"), sides], *yields, axis=-1)
    return nodes


def _constant(model: onnx.ModelProto, name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name
