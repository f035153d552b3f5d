"""One pass: rows of heads, adapters and jobs side by side, and an adapter's slot that is another's by now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.runtime.adapting import drawn_lora
from tests.runtime.assembled import drawn
from tsugiki.backbones import Loaded
from tsugiki.backbones.sites import linear_shapes
from tsugiki.domain import WeightsDelta
from tsugiki.errors import TsugikiError
from tsugiki.runtime.banks import Banks, Placed
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.heads import HeadBank, StaleSlot
from tsugiki.runtime.loras import LoraBank
from tsugiki.runtime.network import Network
from tsugiki.runtime.route import LoraSlot, OwnNetwork, Route

if TYPE_CHECKING:
    from tsugiki.domain import Floats

LABELS = ("a", "b", "c")


class BlindLoras(LoraBank):
    """The fault that must be found: answers by whatever adapter is in the slot now."""

    def owns(self, slot: LoraSlot) -> bool:
        return True


class Bench:
    """A network over the tiny backbone whose LoRA bank has room for one adapter."""

    def __init__(self, tiny: Loaded, kind: type[LoraBank]) -> None:
        engine = OnnxEngine(tiny, threads=1)
        space = tiny.backbone.space
        self.tiny, self.space = tiny, space
        self.rows = [prepared.row for prepared in tiny.backbone.prepare(["the card", "where is my parcel", "rain"])]
        self.banks = Banks(
            HeadBank(space.id, space.dim),
            kind(lambda: linear_shapes(tiny.graph), "float32", 0),
            engine,
            self._no_network,
        )
        self.network = Network(engine, self.banks)

    def place(self, seed: int, *, adapted: bool) -> Placed:
        graft = drawn(LABELS, self.space.dim, self.space.id, seed)
        delta = drawn_lora(self.tiny, seed) if adapted else None
        return self.banks.prepare(replace(graft, delta=delta))()

    def route(self, placed: Placed) -> Route:
        return Route("ten_a", self.space.id, placed.slot, placed.delta)

    def _no_network(self, delta: WeightsDelta) -> OwnNetwork:
        raise AssertionError("no graft here brings weights")


def numbers(reply: Floats | TsugikiError) -> Floats:
    assert isinstance(reply, np.ndarray), reply
    return reply


def test_rows_of_every_kind_in_one_pass_get_what_they_get_alone(tiny: Loaded) -> None:
    bench = Bench(tiny, LoraBank)
    routes = [bench.route(bench.place(1, adapted=True)), bench.route(bench.place(2, adapted=False)), None]
    replies, engine_s = bench.network.run(bench.rows, routes)
    assert engine_s > 0
    assert len(numbers(replies[2])) == tiny.backbone.space.dim, "a job's row is answered with its feature"
    for row, route, reply in zip(bench.rows, routes, replies, strict=True):
        (alone,), _ = bench.network.run([row], [route])
        np.testing.assert_allclose(numbers(reply), numbers(alone), atol=1e-5)


def stale_adapter(bench: Bench) -> tuple[Route, Route]:
    """A route whose adapter's slot was given to another, whose head is still its own; and the other's route."""
    mine = bench.place(1, adapted=True)
    assert isinstance(mine.delta, LoraSlot)
    bench.banks.loras.free(mine.delta)
    other = bench.place(2, adapted=True)
    assert isinstance(other.delta, LoraSlot)
    assert other.delta.index == mine.delta.index, "the lowest free slot is given first"
    return bench.route(mine), bench.route(other)


def test_a_row_whose_adapter_is_another_s_by_now_is_told_so_and_its_neighbour_answered(tiny: Loaded) -> None:
    bench = Bench(tiny, LoraBank)
    mine, other = stale_adapter(bench)
    stale, answered = bench.network.run(bench.rows[:2], [mine, other])[0]
    assert isinstance(stale, StaleSlot)
    assert numbers(answered).sum() == pytest.approx(1, abs=1e-5)


def test_a_bank_that_ignores_generations_answers_by_another_s_adapter(tiny: Loaded) -> None:
    bench = Bench(tiny, BlindLoras)
    right = Bench(tiny, LoraBank)
    rows = len(right.rows)
    expected, _ = right.network.run(right.rows, [right.route(right.place(1, adapted=True))] * rows)
    mine, _ = stale_adapter(bench)
    found, _ = bench.network.run(bench.rows, [mine] * rows)
    off = [np.abs(numbers(a) - numbers(b)).max() for a, b in zip(found, expected, strict=True)]
    assert max(off) > 1e-3, "the fault shows"


@pytest.mark.parametrize("adapted", [True, False])
def test_a_failed_placing_leaves_nothing_behind(tiny: Loaded, adapted: bool) -> None:
    bench = Bench(tiny, LoraBank)
    elsewhere = replace(drawn(LABELS, bench.space.dim, "fsp_other", 1), delta=drawn_lora(tiny, 1) if adapted else None)
    for _ in range(5):  # more often than there are slots
        with pytest.raises(Exception, match="fsp_other"):
            bench.banks.prepare(elsewhere)()
    assert bench.place(3, adapted=True).delta is not None
