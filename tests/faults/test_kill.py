"""kill -9 at random moments while samples are posted and versions published: I1, I4, I7."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.launch import serving
from tests.faults.lives import (
    BATCH,
    TERMINAL,
    Told,
    connect,
    everything,
    kill_while_busy,
    losses,
    processes,
    ready,
    teach,
)
from tsugiki.jobs.attempts import MAX_ATTEMPTS

ANSWERS = (3, 9, 20)  # after so many the service is killed, life by life
ENDS_S = 60  # by then a job that was taken up has ended


@dataclass(frozen=True, slots=True)
class Aftermath:
    http: httpx.Client
    told: Told
    log: Path


@pytest.fixture(scope="module")
def aftermath(make_home: Callable[[], Path], tiny_environment: dict[str, str]) -> Iterator[Aftermath]:
    """The service in its life after several deaths."""
    home, told = make_home(), Told()
    for life, answers in enumerate(ANSWERS[:-1]):
        with serving(home, env=tiny_environment) as running:
            if life == 0:
                with connect(running) as http:
                    assert http.post("/v1/projects", json={"name": "inbox"}).status_code == 200
                    told.versions.add(teach(http, "live")["adaptation"]["version"])
            kill_while_busy(running, told, life, answers, processes(running))
    with serving(home, env=tiny_environment) as running:
        kill_while_busy(running, told, len(ANSWERS), ANSWERS[-1], processes(running)[1:])
        assert ready(running, within_s=ENDS_S), "a worker that died is replaced"
        with connect(running) as http:
            yield Aftermath(http, told, home / "service.log")


def test_every_acknowledged_sample_is_there_and_no_batch_is_torn(aftermath: Aftermath) -> None:
    stored = everything(aftermath.http, "/v1/projects/inbox/samples")
    assert losses(aftermath.told, stored) == []
    assert len(aftermath.told.batches) > len(ANSWERS)


def test_the_search_for_losses_finds_one_sample_and_one_batch(aftermath: Aftermath) -> None:
    stored = everything(aftermath.http, "/v1/projects/inbox/samples")
    assert losses(aftermath.told, stored[1:]) == [f"{BATCH - 1} samples of {stored[0]['source']}"]
    rest = [sample for sample in stored if sample["source"] != stored[0]["source"]]
    assert losses(aftermath.told, rest) == [f"{stored[0]['source']} was acknowledged and is gone"]


def test_every_job_ends_by_itself_with_one_version_and_no_more(aftermath: Aftermath) -> None:
    http = aftermath.http
    # A tenant's jobs run in order: one more is done when all that were taken up are.
    last = http.post("/v1/projects/live/adaptations", json={"promote": "always", "wait_seconds": ENDS_S}).json()
    assert last["status"] == "succeeded"
    jobs = everything(http, "/v1/projects/live/adaptations")
    assert {job["status"] for job in jobs} <= TERMINAL
    # One that three kills met is given up: for all that is known, it was what ended the process.
    assert {job["error"]["code"] for job in jobs if job["status"] == "failed"} <= {"attempts_exhausted"}
    assert sum(job["status"] == "failed" for job in jobs) <= len(ANSWERS) // MAX_ATTEMPTS
    made = sorted(job["version"] for job in jobs if job["status"] == "succeeded")
    versions = [version["version"] for version in everything(http, "/v1/projects/live/versions")]
    assert made == versions == list(range(1, len(versions) + 1))
    assert aftermath.told.versions <= set(versions), "an acknowledged version is there"
    (live,) = http.get("/v1/projects/live/aliases").json()["data"]
    assert live["version"] == versions[-1] == last["version"]


def test_every_version_is_whole_and_answers(aftermath: Aftermath) -> None:
    http = aftermath.http
    for version in everything(http, "/v1/projects/live/versions"):
        asked = {"inputs": ["money refund charge 3", "parcel late arrive 2"], "top_k": 2}
        reply = http.post("/v1/projects/live/predict", params={"version": version["version"]}, json=asked)
        assert reply.status_code == 200, reply.text
        assert [row["label"] for row in reply.json()["data"]] == ["billing", "delivery"]
        assert http.get(f"/v1/projects/live/versions/{version['version']}/evaluation").status_code == 200


def test_the_log_shows_no_fault(aftermath: Aftermath) -> None:
    log = aftermath.log.read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3_000]
