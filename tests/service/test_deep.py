"""Deep adaptations through HTTP: queued for the trainer, waited for, and served as soon as they are told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from starlette.testclient import TestClient

from service.api import create_api, edge_of
from service.guard import App, Guard
from tests.faults.several import soon
from tests.jobs.deep import HOLD, KEY, core_with_trainer
from tests.jobs.working import SOON_S
from tests.service.asking import SAMPLES, good, refused
from tsugiki.backbones import Loaded
from tsugiki.jobs.lane import TENANT_JOBS


@pytest.fixture(scope="module")
def home(make_home: Callable[[], Path]) -> Path:
    return make_home()


@pytest.fixture(scope="module")
def http(home: Path, tiny: Loaded) -> Iterator[httpx.Client]:
    with core_with_trainer(home, tiny.source.folder) as core:
        api = create_api()
        api.state.core = core
        headers = {"Authorization": f"Bearer {KEY}"}
        with TestClient(cast(App, Guard(cast(App, api), edge_of(api), lambda: core)), headers=headers) as made:
            yield cast(httpx.Client, made)  # of the same interface


def test_one_that_ends_within_the_wait_is_served_by_the_next_prediction(http: httpx.Client) -> None:
    good(http.post("/adapt", json={"project": "support", "samples": SAMPLES, "wait_seconds": 60}))
    wish = {"method": "lora", "promote": "always", "wait_seconds": 60}
    for number in (2, 3):
        done = good(http.post("/v1/projects/support/adaptations", json=wish))
        assert (done["status"], done["version"], done["follows"]) == ("succeeded", number, None)
        told = good(http.post("/predict", json={"project": "support", "inputs": ["pay"]}))
        assert (told["version"], told["method"]) == (number, "lora")


def test_hyperparameters_reach_the_trainer(http: httpx.Client) -> None:
    wish = {"method": "lora", "promote": "never", "wait_seconds": 60, "hyperparameters": {"l2": 5, "seed": 3}}
    done = good(http.post("/v1/projects/support/adaptations", json=wish))
    assert done["status"] == "succeeded"
    details = good(http.get(f"/v1/projects/support/versions/{done['version']}"))["lineage"]["details"]
    assert (details["l2"], details["strength"]) == (5, 5)


def test_sets_of_labels_go_through_the_trainer(http: httpx.Client) -> None:
    samples = [{"input": row["input"], "labels": [row["label"]] if n % 3 else []} for n, row in enumerate(SAMPLES)]
    body = {"project": "several", "task": "multi_label", "samples": samples, "method": "lora", "wait_seconds": 60}
    assert good(http.post("/adapt", json=body))["adaptation"]["status"] == "succeeded"
    told = good(http.post("/predict", json={"project": "several", "inputs": ["pay the bill"], "top_k": 2}))
    assert (told["version"], told["method"]) == (1, "lora")
    report = good(http.get("/v1/projects/several/versions/1/evaluation"))
    thresholds = {row["label"]: row["threshold"] for row in report["per_class"]}
    (row,) = told["data"]
    assert row["labels"] == [one["label"] for one in row["scores"] if one["score"] >= thresholds[one["label"]]]


def test_one_that_trains_is_told_of_called_off_and_its_stream_ends(http: httpx.Client, home: Path) -> None:
    (home / HOLD).touch()
    begun = good(
        http.post("/adapt", json={"project": "called-off", "samples": SAMPLES, "method": "lora", "wait_seconds": 0})
    )
    job = begun["adaptation"]["id"]
    assert begun["adaptation"]["status"] in ("queued", "running")
    assert soon(lambda: good(http.get(f"/v1/adaptations/{job}"))["phase"] == "train", SOON_S)
    assert good(http.post(f"/v1/adaptations/{job}/cancel"))["status"] == "cancelled"
    reply = http.get(f"/v1/adaptations/{job}/events", headers={"accept": "text/event-stream"})
    assert reply.status_code == 200 and '"phase":"train"' in reply.text
    (home / HOLD).unlink()
    assert good(http.get("/v1/projects/called-off/versions"))["data"] == []


def test_no_tenant_queues_more_than_its_share(http: httpx.Client, home: Path) -> None:
    (home / HOLD).touch()
    jobs = [good(http.post("/v1/projects/support/adaptations", json={"method": "lora"}), 202)["id"]]
    assert soon(lambda: good(http.get(f"/v1/adaptations/{jobs[0]}"))["phase"] == "train", SOON_S)
    for _ in range(TENANT_JOBS):
        jobs.append(good(http.post("/v1/projects/support/adaptations", json={"method": "lora"}), 202)["id"])
    reply = http.post("/v1/projects/support/adaptations", json={"method": "lora"})
    refused(reply, 429, "overloaded")
    assert int(reply.headers["retry-after"]) > 0
    assert good(http.get(f"/v1/adaptations/{jobs[-1]}"))["progress"]["queue_position"] == TENANT_JOBS
    for job in reversed(jobs):
        good(http.post(f"/v1/adaptations/{job}/cancel"))
    (home / HOLD).unlink()
