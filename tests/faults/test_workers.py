"""Two workers on one port tell what one would: moves reach both, jobs run once, and either may die."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.core import Core
from service.launch import Running, serving
from service.settings import Settings
from service.wiring import wire
from tests.faults.lives import LABELS, Json, everything, teach
from tests.faults.several import Worker, each_worker, served_by, soon, workers
from tests.jobs.working import adapt, live, project, samples
from tsugiki.backbones import Loaded
from tsugiki.domain import Project
from tsugiki.runtime.directory import Selector

SEEN_S = 1.0  # what is promised of a move
ENDS_S = 60.0  # by then a job that was taken up has ended
MANY = 4_000  # samples a label: some seconds of embedding, time enough to interfere
ROUNDS = 6


@pytest.fixture(scope="module")
def home(make_home: Callable[[], Path]) -> Path:
    return make_home()


@pytest.fixture(scope="module")
def two(home: Path, tiny_environment: dict[str, str]) -> Iterator[Running]:
    with serving(home, env={**tiny_environment, "TSUGIKI_WORKERS": "2"}) as running:
        yield running


@pytest.fixture
def pair(two: Running) -> Iterator[list[Worker]]:
    with each_worker(two) as found:
        yield found


def test_both_answer_on_one_port_with_one_key_of_one_first_start(two: Running, pair: list[Worker], home: Path) -> None:
    assert sorted(worker.pid for worker in pair) == sorted(workers(two))
    for worker in pair:
        reply = worker.http.get("/v1/me")
        assert (reply.status_code, served_by(two, reply)) == (200, worker.pid)
    (tenant,) = everything(pair[0].http, "/admin/v1/tenants")
    assert len(everything(pair[0].http, f"/admin/v1/tenants/{tenant['id']}/keys")) == 1
    assert (home / "service.log").read_text().count("the admin key is") == 1


def test_a_move_by_one_is_seen_by_the_other_in_time(pair: list[Worker]) -> None:
    two_versions(pair[0].http, "moved")
    for number in range(ROUNDS):
        mover, other = pair[number % 2].http, pair[1 - number % 2].http
        wanted = 1 + number % 2
        assert served(other, "moved") == 3 - wanted
        mover.put("/v1/projects/moved/aliases/live", json={"version": wanted}).raise_for_status()
        assert soon(lambda: served(other, "moved") == wanted, SEEN_S)  # noqa: B023  # called within the round
        assert served(mover, "moved") == wanted


def test_a_changed_project_is_another_for_both_in_time(pair: list[Worker]) -> None:
    changer, other = (worker.http for worker in pair)
    teach(changer, "former")
    assert predicted(other, "former").status_code == 200
    changer.patch("/v1/projects/former", json={"name": "present"}).raise_for_status()
    assert soon(lambda: predicted(other, "former").status_code == 404, SEEN_S)
    assert predicted(other, "present").status_code == 200


def test_an_erased_project_is_gone_for_both_in_time(pair: list[Worker]) -> None:
    eraser, other = (worker.http for worker in pair)
    teach(eraser, "erased")
    assert [predicted(http, "erased").status_code for http in (eraser, other)] == [200, 200]
    assert eraser.delete("/v1/projects/erased").status_code == 202
    assert predicted(eraser, "erased").status_code == 404
    assert soon(lambda: predicted(other, "erased").status_code == 404, SEEN_S)


def test_each_scrape_tells_of_both_and_no_counter_falls(pair: list[Worker]) -> None:
    seen: dict[str, float] = {}
    for _ in range(ROUNDS):
        for worker in pair:
            worker.http.get("/v1/me").raise_for_status()
            now = counters(worker.http.get("/metrics"))
            assert {key: value for key, value in seen.items() if now[key] < value} == {}
            seen = now
    asked = {key: value for key, value in seen.items() if key.startswith("tsugiki_requests_total") and "/v1/me" in key}
    assert len(asked) == 2 and min(asked.values()) >= ROUNDS, asked
    assert {re.findall(r'worker="(\d+)"', key)[0] for key in asked} == {"1", "2"}
    page = pair[0].http.get("/metrics").text
    assert all(page.count(f"# TYPE {name} ") == 1 for name in re.findall(r"# TYPE (\S+)", page))


def test_an_adaptation_is_cancelled_through_the_other(pair: list[Worker]) -> None:
    runner, other = (worker.http for worker in pair)
    job = job_of(begin_long(runner, "cancelled"))
    assert soon(lambda: status(other, job) == "running", ENDS_S)
    assert other.post(f"/v1/adaptations/{job}/cancel").json()["status"] == "cancelled"
    # The runner has one job of a tenant at a time: another one ends only when it has let go of this.
    assert teach(runner, "after")["adaptation"]["version"] == 1
    assert everything(other, "/v1/projects/cancelled/versions") == []


def test_an_export_that_both_are_asked_for_is_made_once(pair: list[Worker]) -> None:
    teach(pair[0].http, "exported")
    told: list[Json] = []

    def ask(http: httpx.Client) -> None:
        told.append(http.post("/v1/projects/exported/versions/1/exports", json={"wait_seconds": 30}).json())

    threads = [threading.Thread(target=ask, args=(worker.http,)) for worker in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [export["status"] for export in told] == ["succeeded", "succeeded"], told
    assert told[0] == told[1]


def test_a_killed_worker_s_adaptation_ends_once_and_the_other_serves_on(two: Running) -> None:
    with each_worker(two) as pair:
        two_versions(pair[0].http, "served-on")
        begun = begin_long(pair[0].http, "killed")
        job, runner = job_of(begun), served_by(two, begun)
        (other,) = (worker for worker in pair if worker.pid != runner)
        assert soon(lambda: status(other.http, job) == "running", ENDS_S)
        os.kill(runner, signal.SIGKILL)
        assert status(other.http, job) == "running", "it ended before its worker did: this proves nothing"
        answers: list[int] = []

        def ended() -> bool:
            answers.append(predicted(other.http, "served-on").status_code)
            return status(other.http, job) in ("succeeded", "failed", "cancelled")

        assert soon(ended, ENDS_S)
        assert set(answers) == {200}
        (made,) = everything(other.http, "/v1/projects/killed/adaptations")
        assert (made["status"], made["version"]) == ("succeeded", 1), made
        assert [version["version"] for version in everything(other.http, "/v1/projects/killed/versions")] == [1]
        events = everything(other.http, f"/v1/adaptations/{job}/events")
        assert [event["data"].get("attempt") for event in events if "attempt" in event["data"]] == [1, 2]
    with each_worker(two) as pair:
        assert runner not in {worker.pid for worker in pair}, "a worker that died is replaced"
        for worker in pair:
            assert predicted(worker.http, "killed").status_code == 200


def test_without_the_watcher_the_same_move_is_not_seen(make_home: Callable[[], Path], tiny: Loaded) -> None:
    with two_cores(make_home(), tiny) as cores:
        mover, other = cores
        made = project(mover)
        mover.samples.add(made.id, samples())
        for _ in range(2):
            assert adapt(mover, mover.fast_lane, made, promote="always").status == "succeeded"
        assert resolved(other, made) == live(mover, made.id) == 2
        mover.registry.rollback(made.id, "live", "test")
        assert soon(lambda: resolved(other, made) == 1, SEEN_S)
        assert other.watcher is not None
        other.watcher.close()
        mover.registry.move(made.id, "live", 2)
        assert not soon(lambda: resolved(other, made) == 2, SEEN_S)
        assert resolved(mover, made) == 2


@contextmanager
def two_cores(home: Path, tiny: Loaded) -> Generator[list[Core]]:
    """What two workers hold, in this process."""
    values: dict[str, Any] = {"home": home, "backbones": {"tiny": tiny.source.folder}, "text_backbone": "tiny"}
    values["engine"] = "onnxruntime"
    settings = Settings(**values, workers=2, bootstrap_key="tsk_of-the-workers-tests")  # pyright: ignore[reportArgumentType]  # as the environment's text
    cores = [wire(settings), wire(settings)]
    try:
        yield cores
    finally:
        for core in cores:
            core.close()


def resolved(core: Core, asked: Project) -> int:
    return core.directory.resolve(asked.tenant_id, asked.id, Selector()).version.number


def two_versions(http: httpx.Client, name: str) -> None:
    """Version 2 is live."""
    teach(http, name)
    more = {"promote": "always", "wait_seconds": 30}
    assert http.post(f"/v1/projects/{name}/adaptations", json=more).json()["version"] == 2


def predicted(http: httpx.Client, name: str) -> httpx.Response:
    return http.post("/predict", json={"project": name, "inputs": ["parcel late arrive"]})


def served(http: httpx.Client, name: str) -> int:
    reply = predicted(http, name)
    assert reply.status_code == 200, reply.text
    return int(reply.json()["version"])


def begin_long(http: httpx.Client, name: str) -> httpx.Response:
    """An adaptation of some seconds, queued."""
    rows = [
        {"input": f"{words} {number} {name}", "label": label}
        for label, words in LABELS.items()
        for number in range(MANY)
    ]
    reply = http.post("/adapt", json={"project": name, "samples": rows, "wait_seconds": 0})
    assert reply.status_code in (200, 202), reply.text
    return reply


def job_of(begun: httpx.Response) -> str:
    return str(begun.json()["adaptation"]["id"])


def status(http: httpx.Client, job: str) -> str:
    return str(http.get(f"/v1/adaptations/{job}").json()["status"])


def counters(page: httpx.Response) -> dict[str, float]:
    """Every series that may not fall."""
    lines = [line.rpartition(" ") for line in page.text.splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in lines if re.match(r"\w+_(total|count|sum|bucket)", series)}
