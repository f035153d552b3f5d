"""The middleware by itself, around applications that fail in every way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.clerks import Clerks
from service.guard import App, Message, Receive, Send
from service.idempotency import IdempotentReplies, reads
from tsugiki.storage.database import Database
from tsugiki.storage.idempotency import Idempotency
from tsugiki.storage.tenants import Principal, Tenants


@dataclass(frozen=True, slots=True)
class Caller:
    core: SimpleNamespace
    principal: Principal

    async def post(self, app: App, body: bytes = b"{}", key: str = "k") -> int:
        """The status that a request through the middleware gets."""
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: MutableMapping[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/adapt",
            "query_string": b"",
            "headers": [(b"idempotency-key", key.encode())],
            "app": SimpleNamespace(state=SimpleNamespace(core=self.core)),
            "state": {"principal": self.principal, "request_id": "req_1", "body": body},
        }
        await IdempotentReplies(app)(scope, receive, send)
        return sent[0]["status"]


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    database = Database(tmp_path)
    database.migrate()
    tenants = Tenants(database)
    tenant = tenants.create("acme")
    # Of all the core, what the middleware uses.
    core = SimpleNamespace(idempotency=Idempotency(database), clerks=Clerks())
    yield Caller(core, Principal(tenant, tenants.issue_key(tenant.id, "k", ["adapt"]).key))
    core.clerks.close()
    database.close()


def answering(*statuses: int) -> App:
    """An application that answers these in turn, and raises where the status is 0."""
    waiting = iter(statuses)

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        status = next(waiting)
        if status == 0:
            raise RuntimeError("a bug")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


@pytest.mark.parametrize("status", [429, 500, 503, 507])
def test_what_time_may_heal_leaves_the_key_free(caller: Caller, status: int) -> None:
    app = answering(status, 200)
    assert [asyncio.run(caller.post(app)) for _ in range(3)] == [status, 200, 200]


@pytest.mark.parametrize("status", [200, 202, 404, 409, 422])
def test_what_stays_true_is_answered_again(caller: Caller, status: int) -> None:
    app = answering(status, 500)
    assert [asyncio.run(caller.post(app)) for _ in range(2)] == [status, status]


def test_a_bug_leaves_the_key_free(caller: Caller) -> None:
    app = answering(0, 200)
    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(caller.post(app))
    assert asyncio.run(caller.post(app)) == 200


def test_a_second_one_is_told_that_the_first_still_runs(caller: Caller) -> None:
    async def both() -> list[int]:
        entered, leave = asyncio.Event(), asyncio.Event()
        answer = answering(200)

        async def slow(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            entered.set()
            await leave.wait()
            await answer(scope, receive, send)

        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            first = tasks.create_task(caller.post(slow))
            await entered.wait()
            second = await caller.post(slow)
            leave.set()
        return [first.result(), second, await caller.post(slow)]

    assert asyncio.run(both()) == [200, 409, 200]


@pytest.mark.parametrize(
    ("method", "path", "alike"),
    [
        ("POST", "/predict", True),
        ("POST", "/v1/projects/p/predict", True),
        ("POST", "/v1/backbones/recommend", True),
        ("POST", "/adapt", False),
        ("PATCH", "/v1/projects/predict", False),
        ("PUT", "/v1/projects/p/aliases/recommend", False),
    ],
)
def test_only_asking_is_as_good_again(method: str, path: str, alike: bool) -> None:
    assert reads({"method": method, "path": path}) == alike
