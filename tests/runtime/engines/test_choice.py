"""Which engine serves: the fastest that does not drift, and the same one at the next start."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.runtime.wrapping import Wrapping
from tsugiki.backbones import Loaded
from tsugiki.domain import EngineName, EngineWish
from tsugiki.errors import Unavailable
from tsugiki.ports import Adapters, Engine
from tsugiki.runtime.engines import choice
from tsugiki.runtime.engines.choice import Candidate, Choice
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.engines.processor import surroundings, told

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow


HERE, UPGRADED = {"processor": "one", "openvino": "1"}, {"processor": "one", "openvino": "2"}


def choose(
    wanted: EngineWish,
    candidates: Sequence[Candidate],
    rows: Sequence[InputRow],
    kept_in: Path,
    under: Mapping[str, str] = HERE,
) -> Choice:
    return choice.choose(wanted, candidates, rows, kept_in, under)


class Altered(Wrapping):
    """A real engine under another name, slower or less exact."""

    def __init__(self, engine: Engine, name: EngineName, *, slower_s: float = 0.0, noise: float = 0.0) -> None:
        super().__init__(engine)
        self.name: EngineName = name
        self._slower_s, self._noise = slower_s, noise

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        features = super().run(rows, adapters)
        time.sleep(self._slower_s)  # what makes it slower, not a wait for anything
        random = np.random.default_rng(0).standard_normal(features.shape, np.float32)
        return np.asarray(features + self._noise * random, np.float32)


@pytest.fixture
def rows(tiny: Loaded) -> list[InputRow]:
    return [prepared.row for prepared in tiny.backbone.probe()]


def candidate(engine: Engine, why_not: str | None = None) -> Candidate:
    return Candidate(engine.name, lambda: why_not, lambda: engine)


def slow_reference(tiny: Loaded) -> Candidate:
    return candidate(Altered(OnnxEngine(tiny, threads=1), "onnxruntime", slower_s=0.05))


def other(tiny: Loaded, *, noise: float = 0.0, slower_s: float = 0.0) -> Engine:
    return Altered(OnnxEngine(tiny, threads=1), "openvino", noise=noise, slower_s=slower_s)


def test_the_fastest_serves_and_stays_though_it_be_slow_the_next_time(
    tiny: Loaded, rows: list[InputRow], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "engine.json"
    with caplog.at_level(logging.INFO):
        chosen = choose("auto", [slow_reference(tiny), candidate(other(tiny))], rows, kept)
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("engine ")]
    assert len(told) == 2
    assert all("rows/s" in line and "cosine" in line for line in told)
    assert [line.startswith("engine openvino") for line in told if line.endswith("<- serves")] == [True]
    assert chosen.name == "openvino"
    assert {trial.name for trial in chosen.trials} == {"onnxruntime", "openvino"}
    assert json.loads(kept.read_text())["engine"] == "openvino"
    slower = candidate(other(tiny, slower_s=0.2))
    assert choose("auto", [slow_reference(tiny), slower], rows, kept).name == "openvino"


class Hindered(Altered):
    """Something else takes the core in four of five passes."""

    passes = 0

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        self.passes += 1
        time.sleep(0.1 if self.passes % 5 else 0.0)
        return super().run(rows, adapters)


def test_what_else_the_machine_does_chooses_no_engine(tiny: Loaded, rows: list[InputRow], tmp_path: Path) -> None:
    hindered = Hindered(OnnxEngine(tiny, threads=1), "openvino")
    assert (
        choose("auto", [slow_reference(tiny), candidate(hindered)], rows, tmp_path / "engine.json").name == "openvino"
    )
    always = candidate(other(tiny, slower_s=0.1))
    assert choose("auto", [slow_reference(tiny), always], rows, tmp_path / "other.json").name == "onnxruntime"


def test_an_engine_whose_features_drift_is_refused_however_fast(
    tiny: Loaded, rows: list[InputRow], tmp_path: Path
) -> None:
    chosen = choose("auto", [slow_reference(tiny), candidate(other(tiny, noise=0.05))], rows, tmp_path / "engine.json")
    assert chosen.name == "onnxruntime"
    (drifting,) = (trial for trial in chosen.trials if trial.name == "openvino")
    assert drifting.refused is not None
    assert "drift" in drifting.refused


def test_what_cannot_run_here_or_fails_is_told_and_keeps_nobody_from_serving(
    tiny: Loaded, rows: list[InputRow], tmp_path: Path
) -> None:
    def fail() -> Engine:
        raise RuntimeError("it cannot be made")

    candidates = [slow_reference(tiny), candidate(other(tiny), "no such units"), Candidate("torch", lambda: None, fail)]
    chosen = choose("auto", candidates, rows, tmp_path / "engine.json")
    assert chosen.name == "onnxruntime"
    assert {trial.name: trial.refused for trial in chosen.trials} == {
        "onnxruntime": None,
        "openvino": "no such units",
        "torch": "failed: RuntimeError",
    }


@pytest.fixture
def kept(tiny: Loaded, rows: list[InputRow], tmp_path: Path) -> Path:
    """Where it is kept that the other engine is the fastest."""
    path = tmp_path / "engine.json"
    assert choose("auto", [slow_reference(tiny), candidate(other(tiny))], rows, path).name == "openvino"
    return path


def test_a_kept_engine_that_is_gone_is_chosen_anew(tiny: Loaded, rows: list[InputRow], kept: Path) -> None:
    assert choose("auto", [slow_reference(tiny), candidate(other(tiny), "gone")], rows, kept).name == "onnxruntime"
    kept.write_text("{")
    assert choose("auto", [slow_reference(tiny), candidate(other(tiny))], rows, kept).name == "openvino"


def unmade(name: EngineName) -> Candidate:
    def fail() -> Engine:
        raise AssertionError("it was made to be measured")

    return Candidate(name, lambda: None, fail)


def test_a_kept_engine_that_another_library_makes_drift_is_chosen_anew(
    tiny: Loaded, rows: list[InputRow], kept: Path
) -> None:
    drifting = [slow_reference(tiny), candidate(other(tiny, noise=0.05))]
    assert choose("auto", drifting, rows, kept).name == "openvino", "the control: under the same nobody asks"
    assert choose("auto", drifting, rows, kept, UPGRADED).name == "onnxruntime"
    assert choose("auto", [unmade("onnxruntime"), unmade("openvino")], rows, kept, UPGRADED).name == "onnxruntime"


def test_a_kept_engine_that_does_not_drift_stays_under_another_library_though_it_be_slow(
    tiny: Loaded, rows: list[InputRow], kept: Path
) -> None:
    slower = [slow_reference(tiny), candidate(other(tiny, slower_s=0.2))]
    assert choose("auto", slower, rows, kept, UPGRADED).name == "openvino"
    assert choose("auto", [slow_reference(tiny), unmade("openvino")], rows, kept, UPGRADED).name == "openvino"


def test_a_kept_engine_that_cannot_be_tried_under_another_library_is_chosen_anew(
    tiny: Loaded, rows: list[InputRow], kept: Path
) -> None:
    assert choose("auto", [slow_reference(tiny), unmade("openvino")], rows, kept, UPGRADED).name == "onnxruntime"


def test_fp32_stays_under_another_library_unasked(rows: list[InputRow], tiny: Loaded, tmp_path: Path) -> None:
    kept = tmp_path / "engine.json"
    choose("auto", [slow_reference(tiny), candidate(other(tiny, slower_s=0.2))], rows, kept)
    assert choose("auto", [unmade("onnxruntime"), unmade("openvino")], rows, kept, UPGRADED).name == "onnxruntime"


def test_what_an_engine_runs_on_is_told() -> None:
    assert set(surroundings()) == {"processor", "onnxruntime", "openvino", "torch"}
    assert surroundings()["onnxruntime"].count(".") == 2
    assert told("flags")
    assert told("flag") == ""


def test_an_engine_asked_for_by_name_serves_or_stops_the_start(
    tiny: Loaded, rows: list[InputRow], tmp_path: Path
) -> None:
    kept = tmp_path / "engine.json"
    assert choose("onnxruntime", [slow_reference(tiny), candidate(other(tiny))], rows, kept).name == "onnxruntime"
    assert not kept.exists(), "what was asked for is no measurement"
    with pytest.raises(Unavailable, match="no such units"):
        choose("openvino", [slow_reference(tiny), candidate(other(tiny), "no such units")], rows, kept)


def test_what_would_be_no_gain_is_not_measured_but_serves_when_asked_for(
    tiny: Loaded, rows: list[InputRow], tmp_path: Path
) -> None:
    fast = replace(unmade("openvino"), no_gain=lambda: "the units are others")
    chosen = choose("auto", [slow_reference(tiny), fast], rows, tmp_path / "engine.json")
    assert chosen.name == "onnxruntime"
    assert {trial.name: trial.refused for trial in chosen.trials} == {"openvino": "the units are others"}
    assert choose("openvino", [slow_reference(tiny), fast], rows, tmp_path / "other.json").name == "openvino"
