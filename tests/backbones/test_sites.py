"""Which modules a bank spans: few where that is enough."""

from __future__ import annotations

import pytest

from tsugiki.backbones.sites import covering

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
