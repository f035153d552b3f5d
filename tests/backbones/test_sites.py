"""Where a graph's linear modules are and end, and which of them a bank spans: few where that is enough."""
# pyright: reportUnknownMemberType=false
# onnx leaves the list methods of its messages untyped.

from __future__ import annotations

import onnx
import pytest
from onnx import helper

from tsugiki.backbones import Loaded
from tsugiki.backbones.sites import covering, linear_sites

BERT = tuple(f"encoder.layer.{n}.attention.self.{part}" for n in range(4) for part in ("query", "key", "value"))
CONVOLUTIONS = (*(f"blocks.{n}.{part}" for n in range(16) for part in ("expand", "project")), "top")
UPPER = CONVOLUTIONS[16:]


@pytest.mark.parametrize(
    ("known", "wanted", "spanned"),
    [
        (BERT, BERT[:1], tuple(module for module in BERT if not module.endswith("key"))),
        (BERT, BERT[1:2], BERT),
        (CONVOLUTIONS, ["blocks.8.expand", "blocks.15.project"], UPPER),
        (CONVOLUTIONS, ["top"], UPPER),
        (CONVOLUTIONS, ["blocks.7.project", "blocks.15.project"], CONVOLUTIONS),
        (("first", "second"), ["first"], ("first", "second")),
    ],
)
def test_a_bank_spans_few_modules_where_that_is_enough(
    known: tuple[str, ...], wanted: list[str], spanned: tuple[str, ...]
) -> None:
    assert covering(known, wanted) == spanned


def test_a_module_ends_behind_its_bias_unless_something_else_reads_its_product(tiny: Loaded) -> None:
    model = onnx.load(tiny.graph)
    module, site = next(iter(linear_sites(model).items()))
    assert site.added is not None
    assert (site.added.op_type, site.end) == ("Add", site.added)
    assert site.node.output[0] in site.added.input
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == site.bias)
    assert tuple(bias.dims) == (site.out_features,)
    model.graph.node.append(helper.make_node("Shape", [site.node.output[0]], ["read.too"]))
    bare = linear_sites(model)[module]
    assert (bare.added, bare.bias, bare.end) == (None, None, bare.node)
