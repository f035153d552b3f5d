"""Odd paths, queries and headers, on every route that takes them."""

from __future__ import annotations

import pytest

from tests.hostile.checking import harmless
from tests.service.asking import Tenant, refused
from tests.service.isolation import BODIES, fill, object_routes

ODD = {
    "nul": "%00",
    "surrogate": "%ed%a0%80",
    "not-utf8": "%ff%fe",
    "emoji": "%F0%9F%98%80",
    "climbing": "..%2f..%2fetc%2fpasswd",
    "very-long": "a" * 5_000,
    "negative": "-1",
    "huge": "9" * 70,
    "quoting": "'%20OR%201=1--",
    "header": "%0d%0aset-cookie:%20x=y",
    "format": "%25s%25n{0}",
    "digit": "%C2%B2",
}
ROUTES = object_routes()


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[" ".join(route) for route in ROUTES])
def test_an_odd_part_of_a_path_names_nothing(tenant: Tenant, method: str, path: str) -> None:
    before = tenant.usage()
    usual = {
        "p": "support",
        "s": "smp_0",
        "a": "adp_0",
        "v": "1",
        "name": "live",
        "e": "exp_0",
        "t": "ten_0",
        "k": "key_0",
    }
    http = tenant.operator if "{t}" in path else tenant.http
    for parameter in [name for name in usual if "{" + name + "}" in path]:
        for odd in ODD.values():
            reply = http.request(method, fill(path, {**usual, parameter: odd}), json=BODIES.get((method, path)))
            assert reply.status_code in (404, 405, 422), (parameter, odd[:20], reply.text[:300])
            refused(reply, reply.status_code)
            assert "set-cookie" not in reply.headers
    assert tenant.usage() == before


@pytest.mark.parametrize(
    "query",
    [
        "/v1/projects?limit=0",
        "/v1/projects?limit=101",
        "/v1/projects?limit=many",
        "/v1/projects?limit=1e2",
        "/v1/projects?limit=99999999999999999999999",
        "/v1/projects?after=" + "a" * 65,
        "/v1/projects/support/samples?limit=-1",
        "/v1/projects/support/samples?label=" + "a" * 257,
        "/v1/projects/support/samples?issue=" + "a" * 65,
        "/v1/projects/support/versions?after=-1",
        "/v1/projects/support/versions?after=99999999999999999999",
        "/v1/projects/support/versions?after=ver_1",
        "/v1/projects/support/adaptations?limit=",
    ],
)
def test_an_odd_query_is_refused(tenant: Tenant, query: str) -> None:
    harmless(tenant, lambda http: http.get(query), 422, "invalid")


@pytest.mark.parametrize(
    "query", ["version=0", "version=-1", "version=99999999999", "version=one", "alias=..", "alias=LIVE", "alias="]
)
def test_an_odd_choice_of_version_is_refused(tenant: Tenant, query: str) -> None:
    body = {"inputs": ["pay"]}
    harmless(tenant, lambda http: http.post(f"/v1/projects/support/predict?{query}", json=body), 422, "invalid")


@pytest.mark.parametrize("query", ["on_error=maybe", "validate_only=perhaps"])
def test_an_odd_wish_for_samples_is_refused(tenant: Tenant, query: str) -> None:
    body = {"samples": [{"input": "pay"}]}
    harmless(tenant, lambda http: http.post(f"/v1/projects/support/samples?{query}", json=body), 422, "invalid")


@pytest.mark.parametrize("query", ["issue=%25", "source=%ed%a0%80", "after=zzz", "unknown=1"])
def test_a_filter_that_fits_nothing_finds_nothing_or_all(tenant: Tenant, query: str) -> None:
    reply = tenant.http.get(f"/v1/projects/support/samples?{query}")
    assert reply.status_code == 200 and reply.json()["object"] == "list"


@pytest.mark.parametrize("query", ["after=%00", "label=%00"])
def test_what_no_database_holds_is_no_filter(tenant: Tenant, query: str) -> None:
    harmless(tenant, lambda http: http.get(f"/v1/projects/support/samples?{query}"), 422, "nul_character")


@pytest.mark.parametrize("given", [b"abc", b"-1", b"1.5", b"\xb2", b"9" * 20, b"9" * 21, b"2147483648"])
def test_an_odd_last_event_id_is_refused(tenant: Tenant, given: bytes) -> None:
    listed = tenant.http.get("/v1/projects/support/adaptations").json()["data"]
    path = f"/v1/adaptations/{listed[0]['id']}/events"
    harmless(tenant, lambda http: http.get(path, headers=[(b"last-event-id", given)]))


@pytest.mark.parametrize("given", [b"k" * 10_240, b"k" * 256, b"\xff" * 300])
def test_an_odd_idempotency_key_is_refused(tenant: Tenant, given: bytes) -> None:
    body = b'{"name": "never"}'
    headers = [(b"idempotency-key", given), (b"content-type", b"application/json")]
    harmless(tenant, lambda http: http.post("/v1/projects", content=body, headers=headers), 422, "idempotency_key")


def test_what_is_no_method_of_http_is_refused_by_the_server_itself(tenant: Tenant) -> None:
    assert tenant.http.request("BREW", "/adapt").status_code == 400
    harmless(tenant, lambda http: http.get("/v1/projects/none"), 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
def test_a_method_that_a_path_has_not_is_told_so(tenant: Tenant, method: str) -> None:
    reply = tenant.http.request(method, "/adapt")
    assert reply.status_code == 405 and reply.headers["allow"] == "POST"
