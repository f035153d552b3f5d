"""An engine that breaks is found out, made anew, and nobody is answered by it meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.runtime.wrapping import Wrapping
from tsugiki.backbones import Loaded
from tsugiki.ports import Adapters, Engine
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.engines.probe import PROBE_TEXTS
from tsugiki.runtime.mending import EngineLost, MendedEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats

SOON_S = 30


class Breaking(Wrapping):
    """A real engine, and the ways in which one goes wrong."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.fault = ""
        self.poison: NDArray[np.int64] | None = None

    def run(self, rows: Sequence[NDArray[np.int64]], adapters: Adapters | None = None) -> Floats:
        features = super().run(rows, adapters)
        if any(row is self.poison for row in rows):
            raise RuntimeError("this row breaks the pass, and only it")
        match self.fault:
            case "raises":
                raise RuntimeError("the device is gone")
            case "nan":
                return np.full_like(features, np.nan)
            case "shape":
                return features[:, 1:]
            case "other":  # seen only by an engine's probe, once something else has gone wrong
                return np.roll(features, 1, axis=1)
            case _:
                return features


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
def rows(tiny: Loaded) -> list[NDArray[np.int64]]:
    return [row.ids for row in tiny.backbone.prepare(PROBE_TEXTS)]


def mended(factory: Factory, tiny: Loaded, rows: list[NDArray[np.int64]]) -> MendedEngine:
    return MendedEngine(factory, rows, tiny.backbone.space.dim)


def until_it_answers(engine: MendedEngine) -> None:
    deadline = time.monotonic() + SOON_S
    while not engine.answers:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("fault", ["raises", "nan", "shape"])
def test_a_broken_engine_is_lost_then_made_anew(fault: str, tiny: Loaded, rows: list[NDArray[np.int64]]) -> None:
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


def test_a_row_s_own_fault_is_the_row_s(tiny: Loaded, rows: list[NDArray[np.int64]]) -> None:
    factory = Factory(tiny)
    engine = mended(factory, tiny, rows)
    factory.engines[0].poison = poison = rows[0].copy()
    with pytest.raises(RuntimeError, match="only it"):
        engine.run([rows[1], poison])
    assert engine.answers
    assert len(engine.run(rows)) == len(rows)
    assert len(factory.engines) == 1
    engine.close()


def test_it_is_tried_until_an_engine_answers_as_the_first_did(tiny: Loaded, rows: list[NDArray[np.int64]]) -> None:
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


def test_an_engine_that_yields_other_features_does_not_pass_for_mended(
    tiny: Loaded, rows: list[NDArray[np.int64]]
) -> None:
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
