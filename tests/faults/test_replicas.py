"""Services with homes of their own on one PostgreSQL database and one bucket: together they tell what one would."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from psycopg.errors import ConnectionTimeout
from starlette.testclient import TestClient

from service.api import create_api, edge_of
from service.clerks import CLERKS
from service.core import Core
from service.guard import App, Guard
from service.settings import Settings
from service.tokens import HEADER as TOKEN
from service.wiring import wire
from tests import postgres, s3
from tests.faults.several import soon
from tests.jobs.deep import COMMAND, HOLD, KEY, environment_of, measured, methods
from tests.jobs.working import adapt, live, project, samples
from tsugiki.backbones import Loaded
from tsugiki.domain import Adaptation, Project
from tsugiki.errors import NotFound, Overloaded
from tsugiki.runtime.directory import Selector
from tsugiki.storage.postgres import Impatient

SEEN_S = 1.0  # what is promised of a move
RESUMED_S = 40.0  # and of a job whose trainer is dead
START_S = 90.0  # a trainer on a busy machine


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two serving cores, and what makes trainers of the same database in homes of their own."""

    cores: list[Core]
    homes: list[Path]  # of the trainers

    @contextmanager
    def trainer(self, number: int) -> Generator[subprocess.Popen[bytes]]:
        settings = self.cores[number].settings.model_copy(update={"home": self.homes[number]})
        process = subprocess.Popen([*COMMAND, str(os.getpid())], env=environment_of(settings))
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def replicas(
    make_home: Callable[[], Path],
    make_lone_home: Callable[[], Path],
    tiny: Loaded,
    postgres: postgres.Server,
    s3: s3.Server,
) -> Iterator[Replicas]:
    with postgres.database() as url, ExitStack() as stack:
        values: dict[str, Any] = {
            "backbones": {"tiny": tiny.source.folder},
            "text_backbone": "tiny",
            "engine": "onnxruntime",
            "trainer": False,
            "database_url": url,
            "blobs_url": f"s3://{s3.bucket()}/tsugiki",
            "bootstrap_key": KEY,
        }
        cores = list[Core]()
        for _ in range(2):
            home = make_home()
            cores.append(wire(Settings(**values, home=home), methods(home)))
            stack.callback(cores[-1].close)
        yield Replicas(cores, [measured(make_lone_home(), tiny) for _ in cores])


def test_each_has_a_number_of_its_own_and_one_of_them_made_the_first_key(replicas: Replicas) -> None:
    one, other = replicas.cores
    assert {one.presence.number, other.presence.number} == {1, 2}
    (tenant,) = one.tenants.list().data
    assert len(other.tenants.keys(tenant.id).data) == 1


def test_a_tenant_s_rate_is_shared_by_all_there_are(replicas: Replicas) -> None:
    tenant = replicas.cores[0].tenants.create("busy")
    replicas.cores[0].tenants.set_quota(tenant.id, {"requests_per_second": 0.01})
    secret = replicas.cores[0].tenants.issue_key(tenant.id, "k", ["predict"]).secret
    for core in replicas.cores:
        assert soon(lambda: core.presence.processes == 2, SEEN_S)  # noqa: B023  # called within the round
        principal = core.door.identify(secret)
        core.door.admit(principal)
        with pytest.raises(Overloaded) as refused:
            core.door.admit(principal)
        assert 100 < refused.value.retry_after_s <= 200, "one alone would say: in 100 s at the latest"


def test_a_move_by_one_is_seen_by_the_other_in_time(replicas: Replicas) -> None:
    one, other = replicas.cores
    made = project(one)
    one.samples.add(made.id, samples())
    for _ in range(2):
        assert adapt(one, one.fast_lane, made, promote="always").status == "succeeded"
    assert resolved(other, made) == live(one, made.id) == 2
    for mover, watcher, wanted in ((one, other, 1), (other, one, 2), (one, other, 1)):
        mover.registry.move(made.id, "live", wanted)
        assert soon(lambda: resolved(watcher, made) == wanted, SEEN_S)  # noqa: B023  # called within the round
    assert other.registry.graft(other.registry.get(made.id, 1)).method == "head", "its blob is read from the bucket"
    one.projects.delete(made)
    assert soon(lambda: gone(other, made), SEEN_S)


def test_who_sends_a_reply_s_token_is_answered_by_what_it_told(replicas: Replicas) -> None:
    one, other = replicas.cores
    made = project(one, "read-your-writes")
    one.samples.add(made.id, samples())
    for _ in range(2):
        assert adapt(one, one.fast_lane, made, promote="always").status == "succeeded"
    assert other.watcher is not None
    other.watcher.close()  # it hears of nothing by itself any more
    with client(one) as mover, client(other) as reader:
        ask = {"project": made.name, "inputs": ["parcel late arrive"]}
        assert reader.post("/predict", json=ask).json()["version"] == 2
        moved = mover.put(f"/v1/projects/{made.name}/aliases/live", json={"version": 1})
        token = {TOKEN: moved.headers[TOKEN]}
        assert reader.post("/predict", json=ask).json()["version"] == 2, "without the token it would prove nothing"
        assert reader.post("/predict", json=ask, headers=token).json()["version"] == 1
        assert TOKEN not in reader.post("/predict", json=ask).headers
        for bad in ("-1", "x", "9" * 40):
            refused = reader.post("/predict", json=ask, headers={TOKEN: bad})
            assert (refused.status_code, refused.json()["code"]) == (422, "version_token")


def test_a_resident_s_predictions_go_on_while_the_database_says_nothing(
    replicas: Replicas, postgres: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = replicas.cores[0]
    made = project(core, "resident")
    core.samples.add(made.id, samples())
    assert adapt(core, core.fast_lane, made, promote="always").status == "succeeded"
    assert core.watcher is not None
    core.watcher.catch_up(core.watcher.last())  # else it may hear of its own change now, and have to read anew
    monkeypatch.setattr("service.auth.REMEMBERED_S", 0.0)  # the key is asked about each time
    monkeypatch.setattr("service.guard.ASKING_S", 0.2)
    monkeypatch.setattr("service.guard.ASKING_FIRST_S", 0.2)
    ask = {"project": made.name, "inputs": ["parcel late arrive"]}
    with client(core) as http:
        assert http.post("/predict", json=ask).status_code == 200
        with postgres.silent():
            for _ in range(2):
                assert http.post("/predict", json=ask).status_code == 200
            assert http.get("/v1/me").status_code == 503, "a known key opens nothing else unasked"
            unknown = http.post("/predict", json=ask, headers={"Authorization": "Bearer tsk_never-seen"})
            assert (unknown.status_code, unknown.json()["code"]) == (503, "unavailable")
            assert int(unknown.headers["retry-after"]) > 0
        assert soon(lambda: http.get("/v1/me").status_code == 200, RESUMED_S)


def test_nobody_waits_for_a_database_that_is_known_to_say_nothing(
    replicas: Replicas, postgres: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of as many callers as there are threads that check keys, and more; without the guard's own patience."""
    core = replicas.cores[0]
    made = project(core, "among-many")
    core.samples.add(made.id, samples())
    assert adapt(core, core.fast_lane, made, promote="always").status == "succeeded"
    assert core.watcher is not None
    core.watcher.catch_up(core.watcher.last())
    monkeypatch.setattr("service.auth.REMEMBERED_S", 0.0)
    monkeypatch.setattr("service.auth.AWAY_S", 0.0)
    monkeypatch.setattr("service.guard.ASKING_S", 3_600)
    monkeypatch.setattr("service.guard.ASKING_FIRST_S", 3_600)
    ask = {"project": made.name, "inputs": ["parcel late arrive"]}
    with client(core) as http:
        assert http.post("/predict", json=ask).status_code == 200
        with postgres.silent(), ThreadPoolExecutor(4 * CLERKS) as callers:

            def refused(number: int) -> bool:
                reply = http.get("/v1/me", headers={"Authorization": f"Bearer tsk_never-seen-{number}"})
                return reply.status_code == 503 and int(reply.headers["retry-after"]) > 0

            assert all(callers.map(refused, range(8 * CLERKS)))
            monkeypatch.setattr(Impatient, "connect", _nobody_connects)
            assert [http.post("/predict", json=ask).status_code for _ in range(20)] == [200] * 20
            assert all(refused(number) for number in range(20))
            monkeypatch.undo()
        assert soon(lambda: http.get("/v1/me").status_code == 200, RESUMED_S)


def _nobody_connects(*given: str, **named: object) -> None:
    """But for the one thread that asks for all."""
    assert threading.current_thread().name == "silence", "whoever needs the database asks it by itself"
    raise ConnectionTimeout


@contextmanager
def client(core: Core) -> Generator[TestClient]:
    """The guard and the API around a core, in this process."""
    api = create_api()
    api.state.core = core
    core.backbones.get(core.settings.text_backbone)
    headers = {"Authorization": f"Bearer {KEY}"}
    with TestClient(cast(App, Guard(cast(App, api), edge_of(api), lambda: core)), headers=headers) as http:
        yield http


def test_a_dead_trainer_s_job_ends_once_at_another_and_a_tenant_has_one_at_a_time(replicas: Replicas) -> None:
    core = replicas.cores[0]
    (replicas.homes[0] / HOLD).touch()
    with replicas.trainer(0) as first:
        held = train(core, "held")
        assert soon(lambda: now(core, held).phase == "train", START_S), now(core, held)
        waiting, others = train(core, "waiting"), train(core, "others", "another-tenant")
        with replicas.trainer(1):
            assert soon(lambda: now(core, others).status == "succeeded", START_S), now(core, others)
            assert now(core, waiting).status == "queued", "the tenant has one that runs, at the other trainer"
            first.kill()
            first.wait()
            assert soon(lambda: now(core, held).status == "succeeded", RESUMED_S), now(core, held)
            assert soon(lambda: now(core, waiting).status == "succeeded", RESUMED_S), now(core, waiting)
    assert [now(core, job).attempts for job in (held, waiting, others)] == [2, 1, 1]
    for job in (held, waiting, others):
        assert [version.number for version in core.registry.list(job.project_id).data] == [1]


def train(core: Core, name: str, tenant: str = "acme") -> Adaptation:
    known = {found.name: found.id for found in core.tenants.list().data}
    tenant_id = known.get(tenant) or core.tenants.create(tenant).id
    made = core.projects.create(tenant_id, name, "text", "single_label", "tiny")
    core.samples.add(made.id, samples())
    wish = {"method": "lora", "budget": None, "hyperparameters": None, "promote": "gate"}
    return core.adaptations.create(made.id, wish, for_trainer=True)


def now(core: Core, job: Adaptation) -> Adaptation:
    return core.adaptations.get(core.projects.owned(job.project_id).tenant_id, job.id)


def resolved(core: Core, asked: Project) -> int:
    return core.directory.resolve(asked.tenant_id, asked.id, Selector()).version.number


def gone(core: Core, asked: Project) -> bool:
    try:
        resolved(core, asked)
    except NotFound:
        return True
    return False
