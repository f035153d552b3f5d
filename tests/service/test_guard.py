"""What is decided before any route: keys, sizes, types."""

from __future__ import annotations

import gzip
import http.client
import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx
import pytest

from service.bodies import TENANT_BODIES
from service.settings import MIB
from tests.service.asking import Object, Tenant, good, refused

JSON = {"content-type": "application/json"}
BODY = json.dumps({"project": "nowhere", "inputs": ["pay"]}).encode()


@dataclass(frozen=True, slots=True)
class Early:
    """A reply that came before the request was whole."""

    status: int
    problem: Object


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer tsk_unknown",
        "bearer \u00e9\u00ff",
        "Token {key}",
        "{key}",
        "Basic not-base64!",
        "Basic " + b64encode(b"\xff:\xff").decode(),
        "Basic " + b64encode(b"user:tsk_unknown").decode(),
        "Bearer {key}x",
        "Bearer " + "k" * 5_000,
    ],
)
def test_what_is_no_key_is_told_nothing(tenant: Tenant, authorization: str | None) -> None:
    given = {} if authorization is None else {"authorization": authorization.format(key=tenant.key)}
    headers = httpx.Headers(given, encoding="latin-1")
    for path in ("/v1/me", "/nothing/here", "/openapi.json", "/docs"):
        reply = httpx.get(tenant.url + path, headers=headers)
        refused(reply, 401, "unauthenticated")
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_browser_may_send_the_key_as_a_password_to_read_the_docs_only(tenant: Tenant) -> None:
    password = ("anyone", tenant.key)
    assert httpx.get(f"{tenant.url}/docs", auth=password).status_code == 200
    refused(httpx.get(f"{tenant.url}/v1/me", auth=password), 401)
    refused(httpx.post(f"{tenant.url}/v1/projects", auth=password, json={"name": "forged"}), 401)


def test_every_reply_has_a_request_id_and_a_sane_one_is_kept(http: httpx.Client) -> None:
    assert http.get("/v1/me", headers={"X-Request-ID": "mine_1-2"}).headers["x-request-id"] == "mine_1-2"
    for odd in ("x" * 65, "a b", "<script>", ""):
        made = http.get("/v1/nothing", headers={"X-Request-ID": odd})
        assert refused(made, 404)["request_id"].startswith("req_")


def test_a_body_declared_too_large_is_refused_before_it_is_sent(tenant: Tenant) -> None:
    early = _begin(tenant, {"content-length": str(16 * MIB + 1)}, ())
    assert (early.status, early.problem["code"]) == (413, "too_large")


def test_a_body_is_counted_where_no_length_is_declared(tenant: Tenant) -> None:
    chunks = (b"100000\r\n" + b" " * MIB + b"\r\n" for _ in range(17))
    early = _begin(tenant, {"transfer-encoding": "chunked"}, chunks)
    assert (early.status, early.problem["code"]) == (413, "too_large")


def test_a_chunked_body_within_the_limit_is_read_whole(http: httpx.Client) -> None:
    refused(http.post("/predict", content=iter([BODY[:10], BODY[10:]]), headers=JSON), 404)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity"])
def test_an_encoded_body_is_refused(http: httpx.Client, encoding: str) -> None:
    body = gzip.compress(BODY) if encoding == "gzip" else BODY
    refused(http.post("/predict", content=body, headers={**JSON, "content-encoding": encoding}), 415)


@pytest.mark.parametrize("kind", [None, "", "text/html", "image/png", "multipart/form-data", "application/xml", "json"])
def test_a_type_nobody_reads_is_refused(http: httpx.Client, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    refused(http.post("/predict", content=BODY, headers=headers), 415, "unsupported_type")


@pytest.mark.parametrize("path", ["/adapt", "/predict", "/v1/projects", "/v1/backbones/recommend"])
def test_a_type_another_resource_reads_is_refused_here(http: httpx.Client, path: str) -> None:
    refused(http.post(path, content=b"pay", headers={"content-type": "text/plain"}), 415, "unsupported_type")


@pytest.mark.parametrize(
    ("path", "kind", "also"),
    [
        ("predict", "application/x-www-form-urlencoded", "image/*"),  # what curl says where nobody says more
        ("predict", "video/mp4", "audio/*"),
        ("predict", "image", "multipart/form-data"),
        ("predict", "x-image/png", "text/plain"),
        ("predict", "application/x-ndjson", "application/octet-stream"),
        ("samples", "image/png", "multipart/form-data"),
        ("samples", "text/plain", "application/x-ndjson"),
    ],
)
def test_a_type_no_project_reads_is_refused_with_those_it_reads(
    http: httpx.Client, path: str, kind: str, also: str
) -> None:
    reply = http.post(f"/v1/projects/nowhere/{path}", content=BODY, headers={"content-type": kind})
    found = refused(reply, 415, "unsupported_type")
    assert repr(kind) in found["detail"] and also in found["detail"] and "application/json" in found["detail"]


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/PNG", "audio/x-wav; rate=1", "application/octet-stream"])
def test_files_come_as_far_as_the_project(http: httpx.Client, kind: str) -> None:
    refused(http.post("/v1/projects/nowhere/predict", content=BODY, headers={"content-type": kind}), 404)


def test_json_may_name_its_charset(http: httpx.Client) -> None:
    refused(http.post("/predict", content=BODY, headers={"content-type": "Application/JSON; charset=utf-8"}), 404)


def test_a_websocket_is_refused(tenant: Tenant) -> None:
    handshake = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "authorization": f"Bearer {tenant.key}",
    }
    for path in ("/predict", "/", "/bento/predict"):
        # Each on a connection of its own, as the server closes it after a handshake.
        assert httpx.get(tenant.url + path, headers=handshake).status_code == 403


def test_a_caller_that_leaves_half_way_hurts_nobody(tenant: Tenant) -> None:
    connection = http.client.HTTPConnection(tenant.url.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/predict")
    for name, value in {**JSON, "authorization": f"Bearer {tenant.key}", "content-length": "1000"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"{")
    connection.close()
    good(tenant.http.get("/v1/me"))


def test_bodies_that_do_not_end_take_no_more_memory_than_a_tenant_may(tenant: Tenant, stranger: Tenant) -> None:
    held = [_unfinished(tenant, 16 * MIB - 1) for _ in range(TENANT_BODIES)]
    try:
        with httpx.Client(base_url=tenant.url, headers={"authorization": f"Bearer {tenant.key}"}) as more:
            refused(
                until(lambda: more.post("/predict", content=b" " * (1 << 10), headers=JSON), 429), 429, "overloaded"
            )
        refused(stranger.http.post("/predict", content=BODY, headers=JSON), 404)
    finally:
        for connection in held:
            connection.close()
    refused(until(lambda: tenant.http.post("/predict", content=BODY, headers=JSON), 404), 404)


def until(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """The first reply that has it, or the last of many: what was sent is read a little later."""
    replies = (ask() for _ in range(1_000))
    return next((reply for reply in replies if reply.status_code == status), ask())


def _unfinished(tenant: Tenant, size: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(tenant.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/predict")
    for name, value in {**JSON, "authorization": f"Bearer {tenant.key}", "content-length": str(size + 1)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b" " * size)
    return connection


def _begin(tenant: Tenant, framing: dict[str, str], chunks: Iterable[bytes]) -> Early:
    """Send headers and chunks, never the end, and read what comes back."""
    connection = http.client.HTTPConnection(tenant.url.removeprefix("http://"), timeout=60)
    try:
        connection.putrequest("POST", "/predict")
        for name, value in {**JSON, "authorization": f"Bearer {tenant.key}", **framing}.items():
            connection.putheader(name, value)
        connection.endheaders()
        for chunk in chunks:
            connection.send(chunk)
        reply = connection.getresponse()
        return Early(reply.status, json.loads(reply.read()))
    finally:
        connection.close()
