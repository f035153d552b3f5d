"""An engine that breaks is found out, made anew, and nobody is answered by it meanwhile."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.runtime.breaking import Breaking
from tsugiki.backbones import Loaded
from tsugiki.backbones.sites import linear_shapes
from tsugiki.ports import Engine
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.mending import EngineLost, MendedEngine

if TYPE_CHECKING:
    from tsugiki.domain import InputRow

SOON_S = 30


class Factory:
    """Makes engines, the first of which breaks on demand; `open` holds up the making of the others."""

    def __init__(self, tiny: Loaded) -> None:
        self.engines: list[Breaking] = []
        self.open = threading.Event()
        self.open.set()
        self.failures = 0
        self._real = OnnxEngine(tiny, threads=1)

    def __call__(self) -> Engine:
        assert self.open.wait(SOON_S)
        if self.engines and self.failures:
            self.failures -= 1
            raise RuntimeError("not yet")
        self.engines.append(Breaking(self._real))
        return self.engines[-1]


@pytest.fixture
def rows(tiny: Loaded) -> list[InputRow]:
    return [prepared.row for prepared in tiny.backbone.probe()]


def mended(factory: Factory, tiny: Loaded, rows: list[InputRow]) -> MendedEngine:
    return MendedEngine(factory, rows, tiny.backbone.space.dim)


def until_it_answers(engine: MendedEngine) -> None:
    deadline = time.monotonic() + SOON_S
    while not engine.answers:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("fault", ["raises", "nan", "shape"])
def test_a_broken_engine_is_lost_then_made_anew(fault: str, tiny: Loaded, rows: list[InputRow]) -> None:
    factory = Factory(tiny)
    engine = mended(factory, tiny, rows)
    before = engine.run(rows)
    factory.open.clear()
    factory.engines[0].fault = fault
    for _ in range(3):
        with pytest.raises(EngineLost):
            engine.run(rows[:1])
    assert not engine.answers
    factory.open.set()
    until_it_answers(engine)
    np.testing.assert_array_equal(engine.run(rows), before)
    assert len(factory.engines) == 2, "one loss makes one engine, however many passes saw it"
    engine.close()


def test_a_row_s_own_fault_is_the_row_s(tiny: Loaded, rows: list[InputRow]) -> None:
    factory = Factory(tiny)
    engine = mended(factory, tiny, rows)
    poison = rows[0].copy()
    factory.engines[0].poisonous = lambda row: row is poison
    with pytest.raises(RuntimeError, match="only it"):
        engine.run([rows[1], poison])
    assert engine.answers
    assert len(engine.run(rows)) == len(rows)
    assert len(factory.engines) == 1
    engine.close()


def test_it_is_tried_until_an_engine_answers_as_the_first_did(tiny: Loaded, rows: list[InputRow]) -> None:
    factory = Factory(tiny)
    engine = mended(factory, tiny, rows)
    before = engine.run(rows)
    factory.failures = 1
    factory.engines[0].fault = "raises"
    with pytest.raises(EngineLost):
        engine.run(rows)
    until_it_answers(engine)
    np.testing.assert_array_equal(engine.run(rows), before)
    engine.close()


def test_an_engine_that_yields_other_features_does_not_pass_for_mended(tiny: Loaded, rows: list[InputRow]) -> None:
    made = threading.Semaphore(0)
    real = OnnxEngine(tiny, threads=1)
    engines = [Breaking(real) for _ in range(3)]
    left = iter(engines)

    def make() -> Engine:
        made.release()
        return next(left)

    engine = MendedEngine(make, rows, tiny.backbone.space.dim)
    engines[0].fault, engines[1].fault = "raises", "other"
    with pytest.raises(EngineLost):
        engine.run(rows)
    until_it_answers(engine)
    assert sum(made.acquire(blocking=False) for _ in range(4)) == 3, "the second was tried, and not taken"
    np.testing.assert_array_equal(engine.run(rows), real.run(rows))
    engine.close()


@pytest.mark.parametrize(("fact", "other"), [("name", "openvino"), ("precision", "bf16"), ("bank_type", "bfloat16")])
def test_an_engine_of_another_kind_does_not_pass_for_mended(
    fact: str, other: str, tiny: Loaded, rows: list[InputRow]
) -> None:
    real = OnnxEngine(tiny, threads=1)
    engines = [Breaking(real) for _ in range(3)]
    setattr(engines[1], fact, other)
    left = iter(engines)
    engine = MendedEngine(lambda: next(left), rows, tiny.backbone.space.dim)
    engines[0].fault = "raises"
    with pytest.raises(EngineLost):
        engine.run(rows)
    until_it_answers(engine)
    assert next(left, None) is None, "the second was made, and not taken"
    engine.close()


def test_what_was_ready_for_passes_is_ready_in_the_next_engine(tiny: Loaded, rows: list[InputRow]) -> None:
    factory = Factory(tiny)
    engine = mended(factory, tiny, rows)
    modules = tuple(linear_shapes(tiny.graph))
    engine.prepare(modules)
    factory.engines[0].fault = "raises"
    with pytest.raises(EngineLost):
        engine.run(rows)
    until_it_answers(engine)
    assert factory.engines[-1].prepared == [modules]
    engine.close()
