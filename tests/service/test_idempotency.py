"""Idempotency-Key: the same request is done once and answered alike, byte for byte."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.service.asking import SAMPLES, Object, Tenant, client, good, refused
from tests.service.in_process import in_process
from tsugiki.backbones import Loaded
from tsugiki.storage.idempotency import Idempotency


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def test_adapt_twice_is_done_once(tenant: Tenant, key: dict[str, str]) -> None:
    body = {"project": "once", "samples": SAMPLES, "wait_seconds": 60}
    first = tenant.http.post("/adapt", json=body, headers=key)
    again = tenant.http.post("/adapt", json=body, headers=key)
    assert good(first)["adaptation"]["status"] == "succeeded"
    assert first.content == again.content and again.headers["content-type"] == "application/json"
    assert (again.headers["idempotent-replayed"], "idempotent-replayed" in first.headers) == ("true", False)
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert len(good(tenant.http.get("/v1/projects/once/versions"))["data"]) == 1


def test_one_key_makes_one_version(tenant: Tenant, key: dict[str, str]) -> None:
    tenant.adapt("twice")
    path = "/v1/projects/twice/adaptations"
    replies = [tenant.http.post(path, json={"wait_seconds": 60}, headers=key) for _ in range(3)]
    assert len({reply.content for reply in replies}) == 1 and replies[0].status_code == 200
    assert [version["version"] for version in good(tenant.http.get("/v1/projects/twice/versions"))["data"]] == [1, 2]
    assert len(good(tenant.http.get(path))["data"]) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/projects", {"name": "other-body"}),
        ("/v1/projects", {"name": "first-body", "labels": []}),
        ("/v1/projects?x=1", {"name": "first-body"}),
    ],
)
def test_another_request_under_the_key_is_refused(tenant: Tenant, path: str, body: Object) -> None:
    key = {"Idempotency-Key": "same-for-all"}
    first = tenant.http.post("/v1/projects", json={"name": "first-body"}, headers=key)
    assert good(first)["name"] == "first-body"
    refused(tenant.http.post(path, json=body, headers=key), 422, "idempotency_key_reused")


def test_a_refusal_is_kept_too(tenant: Tenant, key: dict[str, str]) -> None:
    first = tenant.http.post("/v1/projects", json={"name": "UPPER"}, headers=key)
    again = tenant.http.post("/v1/projects", json={"name": "UPPER"}, headers=key)
    refused(first, 422)
    assert (again.status_code, again.content) == (422, first.content)
    assert again.headers["content-type"] == "application/problem+json"


def test_while_the_first_one_runs_the_second_is_told_so(tenant: Tenant, key: dict[str, str]) -> None:
    rows = [{"input": f"order {n} late {n * 7} charge", "label": f"l{n % 5}"} for n in range(4_000)]
    body = {"project": "slow", "samples": rows, "wait_seconds": 60}
    with ThreadPoolExecutor(2) as pool:
        # Whichever is first, the other arrives while it works: a second of work against a millisecond apart.
        sent = [pool.submit(tenant.http.post, "/adapt", json=body, headers=key) for _ in range(2)]
        replies = [request.result() for request in sent]
    done, waiting = sorted(replies, key=lambda reply: reply.status_code)
    assert good(done)["adaptation"]["version"] == 1
    refused(waiting, 409, "idempotency_in_progress")
    assert tenant.http.post("/adapt", json=body, headers=key).content == done.content


def test_a_key_is_a_tenants_own(tenant: Tenant, stranger: Tenant, key: dict[str, str]) -> None:
    body = {"name": "own-key"}
    one = good(tenant.http.post("/v1/projects", json=body, headers=key))
    other = good(stranger.http.post("/v1/projects", json=body, headers=key))
    assert one["id"] != other["id"]


def test_a_reply_is_not_given_to_a_key_that_may_do_less(tenant: Tenant, key: dict[str, str]) -> None:
    body = {"name": "for-admins"}
    good(tenant.http.post("/v1/projects", json=body, headers=key))
    with client(tenant.url, tenant.issue(["predict"])["secret"]) as reader:
        refused(reader.post("/v1/projects", json=body, headers=key), 422, "idempotency_key_reused")


def test_a_throttled_request_leaves_its_key_free(stranger: Tenant, key: dict[str, str]) -> None:
    quota = f"/admin/v1/tenants/{stranger.id}/quota"
    good(stranger.operator.put(quota, json={"requests_per_second": 0.001}))
    good(stranger.http.get("/v1/me"))  # the one request that even this rate allows
    refused(stranger.http.post("/v1/projects", json={"name": "throttled"}, headers=key), 429)
    good(stranger.operator.put(quota, json={}))
    good(stranger.http.post("/v1/projects", json={"name": "throttled"}, headers=key))


def test_a_key_goes_with_its_project(tenant: Tenant, key: dict[str, str]) -> None:
    tenant.adapt("erased")
    body = {"samples": [{"input": "pay the bill", "label": "billing"}]}
    good(tenant.http.post("/v1/projects/erased/samples", json=body, headers=key))
    tenant.http.delete("/v1/projects/erased").raise_for_status()
    refused(tenant.http.post("/v1/projects/erased/samples", json=body, headers=key), 404)


@pytest.mark.parametrize("given", ["k" * 256, "k" * 10_000, ""])
def test_a_key_that_is_none_is_refused(http: httpx.Client, given: str) -> None:
    refused(http.post("/v1/projects", json={"name": "unkeyed"}, headers={"Idempotency-Key": given}), 422)
    refused(http.get("/v1/projects/unkeyed"), 404)


class Unkept(Idempotency):
    """As if the process ended each time between the work and its reply being kept."""

    def finish(
        self, tenant_id: str, key: str, status: int, content_type: str, body: bytes, project_id: str | None = None
    ) -> None:
        self.reset({self._owner})


@pytest.mark.parametrize("keyed", [True, False])
def test_what_was_done_before_the_process_ended_is_not_done_again(
    tiny: Loaded, make_home: Callable[[], Path], keyed: bool
) -> None:
    """Each request is sent twice; without its key it is done twice, or refused as done."""
    with in_process(
        make_home(),
        {"tiny": tiny.source.folder},
        lambda core: replace(core, idempotency=Unkept(core.database, core.presence.number)),
    ) as service:
        operator = service.core.tenants.create("operator", operator=True)
        secret = service.core.tenants.issue_key(operator.id, "k", ["admin"]).secret

        def twice(path: str, body: Object) -> tuple[Object, int, Object]:
            """The first reply, and the status and body of the second."""
            headers = {"authorization": f"Bearer {secret}"} | ({"idempotency-key": path} if keyed else {})
            first, again = (service.http.post(path, json=body, headers=headers) for _ in range(2))
            assert first.status_code == 200, first.text
            return first.json(), again.status_code, again.json()

        for path, body in (("/v1/projects", {"name": "support"}), ("/admin/v1/tenants", {"name": "acme"})):
            first, status, again = twice(path, body)
            assert (status, again.get("id") == first["id"]) == ((200, True) if keyed else (409, False))
        _, status, again = twice(f"/admin/v1/tenants/{operator.id}/keys", {"name": "new", "scopes": ["predict"]})
        assert (status, again.get("code")) == ((409, "reply_not_kept") if keyed else (200, None))
        assert len(service.core.tenants.keys(operator.id).data) == (2 if keyed else 3)
        first, _, again = twice("/adapt", {"project": "support", "samples": SAMPLES, "wait_seconds": 60})
        assert (first["adaptation"]["id"] == again["adaptation"]["id"]) == keyed
        first, _, again = twice("/v1/projects/support/adaptations", {"wait_seconds": 60, "promote": "always"})
        assert (first["version"] == again["version"]) == keyed
        first, _, again = twice("/v1/projects/support/rollback", {})
        assert (first == again) == keyed
