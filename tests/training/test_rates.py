from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tsugiki.backbones import Loaded
from tsugiki.domain import Rates
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.training import rates
from tsugiki.training.costs import TYPICAL
from tsugiki.training.rates import ensure_rates, rates_file, read_rates

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow
    from tsugiki.ports import Adapters

USUAL = TYPICAL["text"].rates


@pytest.fixture
def here(tiny: Loaded, tmp_path: Path) -> Loaded:
    """The tiny backbone with its graph where nothing was measured yet."""
    graph = tmp_path / tiny.graph.name
    graph.write_bytes(tiny.graph.read_bytes())
    return replace(tiny, graph=graph)


def test_what_was_measured_is_kept_for_the_next_plan(here: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "BURST_S", 0.05)
    engine = OnnxEngine(here, threads=1)
    path = rates_file(here, "onnxruntime", 1)
    assert read_rates(path) == USUAL and not USUAL.measured
    found = ensure_rates(here, engine, threads=1)
    assert found.measured and found.forward > found.backward > 0.0
    assert read_rates(path) == ensure_rates(here, engine, threads=1) == found
    assert read_rates(rates_file(here, "onnxruntime", 2)) == USUAL, "other threads are another rate"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 4}', '{"format": 3, "forward": 1, "backward": 1}'])
def test_a_file_that_is_not_what_was_written_is_not_believed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "graph.rates.json"
    path.write_text(content)
    assert read_rates(path) == USUAL
    path.write_text(json.dumps({"format": 4, "forward": 2.0, "backward": 1.0, "device": "cuda"}))
    assert read_rates(path) == Rates(2.0, 1.0, measured=True, device="cuda")


class Crowded(OnnxEngine):
    """Others have the core nine times as long as it."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded, threads=1)
        self.begun: list[float] = []

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        self.begun.append(time.perf_counter())
        worked = time.process_time()
        found = super().run(rows, adapters)
        time.sleep(9 * (time.process_time() - worked))
        return found


@pytest.mark.parametrize("by_the_clock", [False, True])
def test_what_others_take_while_it_is_measured_is_not_taken_for_the_machines_pace(
    here: Loaded, monkeypatch: pytest.MonkeyPatch, by_the_clock: bool
) -> None:
    monkeypatch.setattr(rates, "BURST_S", 0.3)
    if by_the_clock:
        monkeypatch.setattr("time.process_time", time.perf_counter)
    engine = Crowded(here)
    found = ensure_rates(here, engine, threads=1)
    lengths = [prepared.size for prepared in here.backbone.probe()]
    tokens = len(lengths) * max(lengths) * rates.REPEATED
    seen = (len(engine.begun) - 1) / (engine.begun[-1] - engine.begun[0])
    assert (found.forward / tokens > 4 * seen) == (not by_the_clock)
