"""Predictions without the framework in between: the same replies as with it, and what they took."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from service.api import create_api, edge_of
from service.edge import INLINE_BYTES
from service.guard import App, Guard
from service.routes.predictions import MAX_RAW_BYTES
from tests.service.asking import SAMPLES, Object, good
from tests.service.in_process import InProcess, in_process
from tests.tiny import WORDS
from tsugiki.backbones import Loaded

VERB, ROUTE = "/predict", "/v1/projects/support/predict"
ASKED = {"project": "support", "inputs": ["refund my money", ""]}
MOST = 1024  # inputs a request
TOTAL = re.compile(r"total;dur=\d+\.\d\d")


@dataclass(frozen=True, slots=True)
class Ways:
    """The same core behind two guards: one asks the direct routes first, one the framework alone."""

    direct: Any  # TestClients, whose replies are httpx2's: the same as httpx's in all but their type
    framework: Any
    keys: dict[str, str]  # secrets by scope


@pytest.fixture(scope="module")
def service(make_home: Callable[[], Path], tiny: Loaded) -> Iterator[InProcess]:
    with in_process(make_home(), {"tiny": tiny.source.folder}) as running:
        yield running


@pytest.fixture(scope="module")
def ways(service: InProcess) -> Iterator[Ways]:
    tenant = service.core.tenants.create("acme")
    keys = {scope: service.core.tenants.issue_key(tenant.id, scope, [scope]).secret for scope in ("predict", "adapt")}
    api = create_api()
    api.state.core = service.core
    with TestClient(cast(App, Guard(cast(App, api), cast(App, api), lambda: service.core))) as framework:
        found = Ways(service.http, framework, keys)
        body = {"project": "support", "samples": SAMPLES, "wait_seconds": 60}
        good(found.framework.post("/adapt", json=body, headers=_headers(found, "adapt")))
        yield found


def _raw(content: bytes | str, kind: str | None = "application/json") -> Object:
    return {"content": content, "headers": {} if kind is None else {"content-type": kind}}


@pytest.mark.parametrize("scope", ["predict", "adapt"])
@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", VERB, {"json": ASKED}),
        ("POST", VERB, {"json": {**ASKED, "version": 1, "top_k": 2}}),
        ("POST", VERB, {"json": {**ASKED, "version": 9}}),
        ("POST", VERB, {"json": {**ASKED, "inputs": [""]}}),
        ("POST", VERB, {"json": {**ASKED, "project": "nowhere"}}),
        ("POST", VERB, {"json": {"inputs": [], "top_k": "1", "more": 0}}),
        ("POST", VERB, {"json": {**ASKED, "inputs": ["pay " * INLINE_BYTES]}}),
        ("POST", VERB, _raw(b'{"project": "support", "inputs": ["a"], "inputs": ["b"]}')),
        ("POST", VERB, _raw(b'{"project": "support", "inputs": [NaN]}')),
        ("POST", VERB, _raw(b'{"project": ')),
        ("POST", VERB, _raw(b"")),
        ("POST", VERB, _raw(b"", None)),
        ("POST", VERB, _raw(b"pay", "text/plain")),
        ("POST", VERB, _raw(json.dumps(ASKED), "Application/JSON; charset=utf-8")),
        ("POST", ROUTE, {"json": {"inputs": ["refund my money"]}}),
        ("POST", ROUTE, {"json": {"inputs": ["refund my money"]}, "params": {"version": 1, "unknown": 1}}),
        ("POST", ROUTE, {"json": {"inputs": ["refund my money"]}, "params": {"alias": "live"}}),
        ("POST", ROUTE, {"json": {}, "params": {"version": "one", "alias": "No"}}),
        ("POST", ROUTE, {"json": {}, "params": {"version": "0"}}),
        ("POST", ROUTE, {"json": {}, "params": {"version": ""}}),
        ("POST", ROUTE, _raw("refund my money", "text/plain")),
        ("POST", ROUTE, _raw(b"\xff", "text/plain")),
        ("POST", ROUTE, _raw(b"a" * (MAX_RAW_BYTES + 1), "text/plain")),
        ("POST", ROUTE, _raw(b"")),
        ("POST", ROUTE.replace("support", "no%20where"), {"json": {"inputs": ["pay"]}}),
        ("POST", ROUTE.replace("support", "a/b"), {"json": {"inputs": ["pay"]}}),
        ("POST", VERB + "/", {"json": ASKED, "follow_redirects": False}),
        ("GET", VERB, {}),
        ("PUT", ROUTE, {"json": {"inputs": ["pay"]}}),
    ],
)
def test_what_is_answered_directly_is_answered_as_by_the_framework(
    ways: Ways, scope: str, method: str, path: str, sent: Object
) -> None:
    headers = {**_headers(ways, scope), **sent.get("headers", {})}
    direct, framework = (
        http.request(method, path, **{**sent, "headers": headers}) for http in (ways.direct, ways.framework)
    )
    assert _told(direct) == _told(framework)


def test_a_prediction_tells_what_it_took_and_so_does_its_refusal(ways: Ways) -> None:
    for path, body, status in ((VERB, ASKED, 200), (ROUTE, {"inputs": ["pay"]}, 200), (VERB, {}, 422)):
        reply = ways.direct.post(path, json=body, headers=_headers(ways, "predict"))
        assert reply.status_code == status
        wanted = TOTAL if status != 200 else re.compile(TOTAL.pattern + r", engine;dur=(?!0\.00)\d+\.\d\d(, load;.*)?")
        assert wanted.fullmatch(reply.headers["server-timing"])
    assert "server-timing" not in ways.direct.get("/v1/me", headers=_headers(ways, "predict")).headers


@pytest.mark.parametrize("known", [False, True], ids=["first", "head gone"])
def test_the_first_prediction_of_a_version_tells_what_its_loading_took(
    ways: Ways, service: InProcess, known: bool
) -> None:
    core = service.core
    principal = core.door.identify(ways.keys["predict"])
    project = core.projects.get(principal.tenant.id, "support")
    if not known:
        core.directory.forget(project.id)
    core.residency.forget(project.id)
    told = [
        ways.direct.post(VERB, json=ASKED, headers=_headers(ways, "predict")).headers["server-timing"] for _ in range(2)
    ]
    assert re.search(r"load;dur=(?!0\.00)\d+\.\d\d", told[0])
    assert "load" not in told[1]


def test_what_a_route_measured_is_told_in_milliseconds(service: InProcess) -> None:
    async def measured(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["timings"] = {"engine": 0.0123456}
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    http = TestClient(cast(App, Guard(measured, measured, lambda: service.core)))
    told = http.get("/livez").headers["server-timing"]
    assert re.fullmatch(TOTAL.pattern + ", engine;dur=12.35", told)


def test_direct_requests_are_counted_by_their_template(service: InProcess, ways: Ways) -> None:
    good(ways.direct.post(ROUTE, json={"inputs": ["pay"]}, headers=_headers(ways, "predict")))
    series = re.findall(r"tsugiki_requests_total\{(.*)\}", service.core.metrics.exposition().decode())
    assert 'method="POST",route="/v1/projects/{p}/predict",status="200"' in series
    assert not [labels for labels in series if "support" in labels]


def test_a_caller_who_leaves_is_noticed(service: InProcess, ways: Ways) -> None:
    words = WORDS.split()
    inputs = [" ".join(words[at % 50 :]) for at in range(MOST)]  # several times WATCH_AFTER_S of work
    body = json.dumps({"project": "support", "inputs": inputs}).encode()

    async def scene() -> list[Any]:
        messages = [{"type": "http.request", "body": body}]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(name.encode(), value.encode()) for name, value in _headers(ways, "predict").items()]
        headers.append((b"content-type", b"application/json"))
        direct = edge_of(api)
        await Guard(direct, direct, lambda: service.core)(
            {"type": "http", "method": "POST", "path": VERB, "query_string": b"", "headers": headers}, receive, send
        )
        return sent

    api = create_api()
    api.state.core = service.core
    start, end = asyncio.run(scene())
    assert start["status"] == 503 and "left" in json.loads(end["body"])["detail"]


def test_a_body_that_does_not_arrive_is_given_up(service: InProcess, ways: Ways) -> None:
    async def scene() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", b"Bearer " + ways.keys["predict"].encode())]
        guard = Guard(nobody, nobody, lambda: service.core, body_s=0.01)
        await guard({"type": "http", "method": "POST", "path": VERB, "headers": headers}, receive, send)
        return sent

    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nothing is asked before its body is there")

    start, end = asyncio.run(scene())
    assert start["status"] == 503 and json.loads(end["body"])["code"] == "body_too_slow"


def _headers(ways: Ways, scope: str) -> dict[str, str]:
    return {"authorization": f"Bearer {ways.keys[scope]}", "x-request-id": "same"}


def _told(reply: Any) -> Object:  # Any: httpx2's reply
    """All of a reply but the time it took."""
    headers = {name: value for name, value in reply.headers.items() if name != "server-timing"}
    return {"status": reply.status_code, "headers": headers, "body": reply.content}
