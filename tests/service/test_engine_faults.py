"""An engine that breaks under the running service: 503 without internals, not ready, and well again by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import service.parts
from tests.runtime.breaking import Breaking
from tests.service.asking import SAMPLES
from tests.service.in_process import InProcess, in_process
from tsugiki.backbones import Loaded
from tsugiki.domain import EngineName, WeightsDelta
from tsugiki.errors import Cancelled
from tsugiki.ports import Engine
from tsugiki.runtime.batcher import Lane
from tsugiki.runtime.engines.making import Cores, make

SOON_S = 30
ASKED = {"project": "support", "inputs": ["refund my money"]}


@dataclass(frozen=True, slots=True)
class Breakable:
    """A service and the engines it has made, the last of which serves."""

    running: InProcess
    engines: list[Breaking]
    headers: dict[str, str]

    def post(self, path: str, body: object) -> Any:  # Any: httpx2's reply, the same as httpx's in all but its type
        return self.running.http.post(path, json=body, headers=self.headers)

    def ready(self) -> int:
        return self.running.http.get("/readyz").status_code


@pytest.fixture
def broken(make_home: Callable[[], Path], tiny: Loaded, monkeypatch: pytest.MonkeyPatch) -> Iterator[Breakable]:
    engines: list[Breaking] = []

    def breaking(name: EngineName, files: Loaded, delta: WeightsDelta | None, cores: Cores) -> Engine:
        engines.append(Breaking(make(name, files, delta, cores)))
        return engines[-1]

    monkeypatch.setattr(service.parts, "make", breaking)
    with in_process(make_home(), {"tiny": tiny.source.folder}) as running:
        tenant = running.core.tenants.create("acme")
        key = running.core.tenants.issue_key(tenant.id, "all", ["admin"]).secret
        found = Breakable(running, engines, {"authorization": f"Bearer {key}"})
        adapted = found.post("/adapt", {"project": "support", "samples": SAMPLES, "wait_seconds": 60})
        assert adapted.json()["adaptation"]["status"] == "succeeded", adapted.text
        yield found


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("fault", ["raises", "nan", "shape"])
def test_a_broken_engine_is_told_without_internals_and_replaced(broken: Breakable, fault: str) -> None:
    before = broken.post("/predict", ASKED).json()["data"]
    broken.engines[-1].fault = fault
    reply = broken.post("/predict", ASKED)
    assert reply.status_code == 503
    problem = reply.json()
    assert problem["code"] == "engine_fault"
    assert int(reply.headers["retry-after"]) >= 1
    assert "device" not in reply.text and "shape" not in reply.text and "Error" not in problem["detail"]
    until(lambda: broken.ready() == 200)
    assert len(broken.engines) == 2
    assert broken.post("/predict", ASKED).json()["data"] == before


def test_while_no_engine_answers_the_service_is_not_ready(broken: Breakable, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: object) -> Engine:
        raise RuntimeError("the library is gone")

    assert broken.ready() == 200
    monkeypatch.setattr(service.parts, "make", never)
    broken.engines[-1].fault = "raises"
    for _ in range(3):
        assert broken.post("/predict", ASKED).status_code == 503
        assert broken.ready() == 503
    assert broken.running.http.get("/livez").status_code == 200, "restarting the process is not what it needs"
    monkeypatch.setattr(service.parts, "make", make)
    until(lambda: broken.ready() == 200)
    assert broken.post("/predict", ASKED).status_code == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is what the test is about
def test_a_service_whose_engine_s_worker_has_ended_asks_to_be_restarted(broken: Breakable) -> None:
    served = broken.running.core.backbones.get("tiny")
    broken.engines[-1].fault = "exits"
    served.batcher.submit("acme", served.backbone.prepare(["pay"]), None, Lane.INTERACTIVE)
    until(lambda: broken.running.http.get("/livez").status_code == 503)
    assert broken.running.http.get("/livez").json()["code"] == "engine_dead"


def test_a_job_that_is_stopped_waits_for_no_features(broken: Breakable, monkeypatch: pytest.MonkeyPatch) -> None:
    let, backbones = threading.Event(), broken.running.core.backbones
    monkeypatch.setattr("tsugiki.runtime.served.CHECK_S", 0.01)
    broken.engines[-1].poisonous = lambda row: not let.wait(SOON_S)

    def stop() -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        backbones.embed("acme", "tiny", ["pay", "late", "lost"], stop)
    assert backbones.get("tiny").batcher.waiting == 0
    let.set()
    assert backbones.embed("acme", "tiny", ["pay"], stop).shape == (1, 64)


def test_a_row_that_breaks_its_pass_fails_alone(broken: Breakable) -> None:
    backbone = broken.running.core.backbones.backbone("tiny")
    (poison,) = backbone.prepare(["terrible"])
    engine = broken.engines[-1]
    engine.poisonous = lambda row: bool(np.array_equal(row, poison.row))
    reply = broken.post("/predict", {"project": "support", "inputs": ["refund my money", "terrible", "where is it"]})
    assert reply.status_code == 200
    rows = reply.json()["data"]
    assert rows[1]["error"]["status"] == 503
    assert [row.get("label") is not None for row in rows] == [True, False, True]
    assert broken.ready() == 200
    assert len(broken.engines) == 1
