"""What is rounded to 8 bits, and that it costs a feature next to nothing: not even where a few numbers tower."""
# pyright: reportUnknownMemberType=false
# onnx types the fields of its messages, but not the list methods behind them.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.runtime.adapting import drawn_weights
from tsugiki.backbones import Loaded
from tsugiki.backbones.eight_bits import in_eight_bits, seen
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.replaced import write_replaced
from tsugiki.backbones.session import Session
from tsugiki.backbones.signature import FEATURES
from tsugiki.backbones.sites import linear_shapes
from tsugiki.domain import WeightsDelta
from tsugiki.runtime.engines.probe import MIN_COSINE, min_cosine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsugiki.domain import Floats, InputRow

TOWERING = 60.0  # times the others: as in trained encoders


@pytest.fixture(scope="module")
def rows(wide: Loaded) -> list[InputRow]:
    return [prepared.row for prepared in wide.backbone.probe()]


@pytest.fixture(scope="module")
def towering(wide: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network, two of whose numbers are many times the others behind every norm."""
    graph = tmp_path_factory.mktemp("towering") / "network.onnx"
    norm = np.ones_like(drawn_weights(wide, 0).tensors["embeddings.LayerNorm.weight"])
    norm[[1, 5]] = TOWERING
    write_replaced(wide.graph, graph, WeightsDelta({"embeddings.LayerNorm.weight": norm}))
    return graph


def bytes_in(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {
        tensor.name.removeprefix("eight_bits.").removesuffix(".bytes"): tuple(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.INT8
    }


def test_products_that_do_not_narrow_get_weights_of_bytes_and_others_keep_theirs(
    wide: Loaded, rows: list[InputRow]
) -> None:
    magnitudes = seen(wide.graph, rows)
    shapes = linear_shapes(wide.graph)
    assert (
        set(magnitudes) == {module for module, (inside, outside) in shapes.items() if outside >= inside} < set(shapes)
    )
    for only in magnitudes:
        found = onnx.load_from_string(in_eight_bits(wide.graph, {only: magnitudes[only]}))
        assert bytes_in(found) == {only: shapes[only]}


def test_small_products_stay_as_they_are(tiny: Loaded, rows: list[InputRow]) -> None:
    assert seen(tiny.graph, rows) == {}
    assert bytes_in(onnx.load_from_string(in_eight_bits(tiny.graph, {}))) == {}


def test_modules_that_read_the_same_become_one_product(wide: Loaded, rows: list[InputRow]) -> None:
    shapes = linear_shapes(wide.graph)
    inside, outside = shapes["encoder.layer.0.attention.self.query"]
    found = bytes_in(onnx.load_from_string(in_eight_bits(wide.graph, seen(wide.graph, rows))))
    queries = {module for module in shapes if module.endswith("query")}
    assert {found[module] for module in queries} == {(inside, 3 * outside)}
    assert {module for module in found if module.endswith((".key", ".value"))} == set()
    widening = [module for module, (narrow, far) in shapes.items() if far >= narrow]
    assert len(found) == len(widening) - 2 * len(queries)


def test_weights_of_bytes_give_the_features_of_before(wide: Loaded, rows: list[InputRow]) -> None:
    expected = Session(wide.graph, threads=1).run(FEATURES, stack(rows))
    changed = Session(in_eight_bits(wide.graph, seen(wide.graph, rows)), threads=1).run(FEATURES, stack(rows))
    assert min_cosine(changed, expected) >= MIN_COSINE
    assert not np.array_equal(changed, expected)


def test_magnitudes_are_what_the_modules_read_without_padding(wide: Loaded, rows: list[InputRow]) -> None:
    together, parts = seen(wide.graph, rows), [seen(wide.graph, [row]) for row in rows]
    for module, most in together.items():
        assert np.array_equal(most, np.max([part[module] for part in parts], axis=0))
        assert most.shape == (linear_shapes(wide.graph)[module][0],)
        assert (most > 0).all()


def rounded(graph: Path, magnitudes: Mapping[str, Floats], rows: list[InputRow]) -> Floats:
    """As an engine computes that gives all numbers of a token one scale; onnxruntime does it step by step."""
    model = onnx.load_from_string(in_eight_bits(graph, magnitudes))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "last"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(127, np.float32), "largest"))
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Mul" and node.output[0].startswith("eight_bits."):
            x = node.output[0]
            node.output[0] = f"{x}.exact"
            for kind, inputs, output in (
                ("Abs", [f"{x}.exact"], f"{x}.far"),
                ("ReduceMax", [f"{x}.far", "last"], f"{x}.most"),
                ("Div", [f"{x}.most", "largest"], f"{x}.scale"),
                ("Div", [f"{x}.exact", f"{x}.scale"], f"{x}.steps"),
                ("Round", [f"{x}.steps"], f"{x}.whole"),
                ("Mul", [f"{x}.whole", f"{x}.scale"], x),
            ):
                nodes.append(helper.make_node(kind, inputs, [output], f"rounded.{output}"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return Session(model.SerializeToString(), threads=1).run(FEATURES, stack(rows))


def test_numbers_that_tower_do_not_take_the_scale_for_themselves(towering: Path, rows: list[InputRow]) -> None:
    expected = Session(towering, threads=1).run(FEATURES, stack(rows))
    magnitudes = seen(towering, rows)
    level = {module: np.ones_like(most) for module, most in magnitudes.items()}
    lost, kept = (1 - min_cosine(rounded(towering, given, rows), expected) for given in (level, magnitudes))
    assert kept < lost / 2, "the control: where nothing is known of magnitudes, more is lost"
