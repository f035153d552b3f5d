"""A tenant of its own for each test module, and what every refusal of the service must look like."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from service.launch import Running

Object = dict[str, Any]  # a JSON object as it comes; Any because JSON is untyped
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "fix", "errors", "instance", "request_id"}
TIMEOUT_S = 90.0  # far above what any request takes: a hang fails the test, a slow machine does not

TEXTS = {
    "billing": ("refund my money", "charge on my card", "pay the bill", "price on the account"),
    "delivery": ("parcel is late", "delivery arrive today", "order lost", "where is my order"),
}
SAMPLES = [
    {"input": f"{start} {end}", "label": label}
    for label, starts in TEXTS.items()
    for start in starts
    for end in ("please", "help", "thanks")
]
WEATHER = [{"input": f"weather rain {word}", "label": "weather"} for word in ("sun", "today", "tomorrow", "bad")]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant made for a test; `http` speaks with its admin key, `operator` with the operator's."""

    id: str
    name: str
    key: str
    url: str
    http: httpx.Client
    operator: httpx.Client

    def issue(self, scopes: Sequence[str], **more: Any) -> Object:
        """Another key of the tenant, with its secret."""
        return good(
            self.operator.post(f"/admin/v1/tenants/{self.id}/keys", json={"name": "k", "scopes": scopes, **more})
        )

    def usage(self) -> Object:
        return good(self.http.get("/v1/me"))["usage"]

    def adapt(self, project: str, samples: Sequence[Object] = SAMPLES, **more: Any) -> Object:
        body = {"project": project, "samples": samples, "wait_seconds": 60, **more}
        return good(self.http.post("/adapt", json=body))


def client(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S)


@contextmanager
def new_tenant(server: Running) -> Generator[Tenant]:
    name = f"t{uuid.uuid4().hex[:12]}"
    with client(server.url, server.key) as operator:
        made = good(operator.post("/admin/v1/tenants", json={"name": name}))
        keys = f"/admin/v1/tenants/{made['id']}/keys"
        key = good(operator.post(keys, json={"name": "first", "scopes": ["admin"]}))["secret"]
        with client(server.url, key) as http:
            yield Tenant(made["id"], name, key, server.url, http, operator)


def good(reply: httpx.Response, status: int = 200) -> Object:
    """The reply's object; the reply is JSON, has the status and a request id."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    return reply.json()


def refused(reply: httpx.Response, status: int, code: str | None = None) -> Object:
    """The problem of a documented refusal: whole, consistent with status and headers, and saying what to do."""
    assert reply.status_code == status, f"{reply.status_code} instead of {status}: {reply.text[:500]}"
    assert reply.headers["content-type"] == "application/problem+json"
    found: Object = reply.json()
    assert found.keys() >= PROBLEM_MEMBERS
    assert found["status"] == status
    # A reply that is given again names the request it was made for.
    assert found["request_id"] == reply.headers["x-request-id"] or "idempotent-replayed" in reply.headers
    assert found["type"].endswith(":" + found["code"])
    assert found["detail"] and found["fix"] and found["title"]
    assert ("retry-after" in reply.headers) == (status in (429, 503))
    for place in found["errors"]:
        assert place["code"] and place["detail"] and isinstance(place["pointer"], str)
    if code is not None:
        assert found["code"] == code, found
    return found


def listed(http: httpx.Client, path: str, **params: Any) -> list[Object]:
    """Every object of a list, read in pages of two: `after` is the last id of the page before."""
    found: list[Object] = []
    after: Any = None
    while True:
        given = {name: value for name, value in {**params, "after": after, "limit": 2}.items() if value is not None}
        page = good(http.get(path, params=given))
        assert page["object"] == "list" and len(page["data"]) <= 2
        found += page["data"]
        if not page["has_more"]:
            return found
        after = next(page["data"][-1][name] for name in ("id", "name", "version") if name in page["data"][-1])
