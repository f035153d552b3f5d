"""What a service writes down of its callers: no text, no label, no key, and in metrics no tenant."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.launch import serving
from tests.faults.several import soon
from tests.service.asking import SAMPLES, Object, Tenant, good, new_tenant, refused

CANARY = "canary7f3a9c"
TOKEN = "scrape-me-please-0123456789"
SOON_S = 20.0  # what takes so long has hung
LABELS = {"billing": f"{CANARY}-label", "delivery": f"other {CANARY}"}


@dataclass(frozen=True, slots=True)
class Watched:
    tenant: Tenant
    log: Path
    home: Path
    secrets: list[str]  # of every key there is, the operator's last


@pytest.fixture(scope="module")
def watched(make_home: Callable[[], Path], tiny_environment: dict[str, str]) -> Iterator[Watched]:
    """A service of its own, as its log is read whole, with a token for /metrics and small bodies."""
    home = make_home()
    log = home / "service.log"
    environment = {**tiny_environment, "TSUGIKI_METRICS_TOKEN": TOKEN, "TSUGIKI_MAX_BODY_BYTES": "65536"}
    environment["TSUGIKI_LOG_REQUESTS"] = "on"
    with serving(home, env=environment, log=log) as running, new_tenant(running) as tenant:
        path, once = f"/admin/v1/tenants/{tenant.id}/keys", {"Idempotency-Key": "k"}
        issued = good(tenant.operator.post(path, json={}, headers=once))
        refused(tenant.operator.post(path, json={}, headers=once), 409, "reply_not_kept")
        yield Watched(tenant, log, home, [tenant.key, issued["secret"], running.key])


@pytest.fixture(scope="module")
def busy(watched: Watched) -> Watched:
    """The service after a day's work, much of it refused, with the canary in every place a caller can put it."""
    tenant = watched.tenant
    rows = [{"input": f"{row['input']} {CANARY}", "label": LABELS[str(row["label"])]} for row in SAMPLES]
    tenant.adapt("watched", [{**row, "source": CANARY, "metadata": {CANARY: CANARY}} for row in rows])
    good(tenant.http.post("/predict", json={"project": "watched", "inputs": [CANARY, "pay", {"url": CANARY}]}))
    good(tenant.http.post("/v1/projects/watched/versions/1/exports", json={"wait_seconds": 60}))
    good(tenant.http.patch("/v1/projects/watched", json={"labels": [{"name": CANARY}]}))
    json_type = {"content-type": "application/json"}
    for path in (
        "/adapt",
        "/predict",
        "/bento/predict",
        "/bento/adapt",
        "/v1/projects",
        "/v1/projects/watched/samples",
    ):
        for body in _bad_bodies():
            assert 400 <= tenant.http.post(path, content=body, headers=json_type).status_code < 500, (path, body[:60])
    for headers in ({"authorization": f"Bearer {CANARY}"}, {"authorization": f"Basic {CANARY}"}, {"cookie": CANARY}):
        refused(httpx.get(f"{tenant.url}/v1/me", headers=headers), 401)
    refused(tenant.http.get(f"/v1/projects/{CANARY}", params={"key": CANARY}), 404)
    refused(tenant.http.post("/v1/projects", json={"name": "x"}, headers={"Idempotency-Key": CANARY * 100}), 422)
    return watched


def _bad_bodies() -> list[bytes]:
    canary = CANARY.encode()
    return [
        b'{"project": "' + canary,
        b'{"' + canary + b'": 1}',
        b'{"project": "' + canary + b'", "inputs": "' + canary + b'", "samples": "' + canary + b'"}',
        b'{"a": NaN, "' + canary + b'": "' + canary + b'"}',
        canary,
        b"\xff" + canary,
        b'{"project": "watched", "inputs": [{"' + canary + b'": 1}], "samples": [{"label": {"' + canary + b'": 1}}]}',
        b'"' + canary * 6_000 + b'"',
    ]


def found_in(text: str, secret: str) -> list[str]:
    """The encodings of a secret that a text holds."""
    encoded = {
        "plain": secret,
        "base64": base64.b64encode(secret.encode()).decode().rstrip("="),
        "hex": secret.encode().hex(),
        "escaped": json.dumps(secret)[1:-1],
    }
    return [name for name, form in encoded.items() if form in text]


def test_no_log_line_holds_a_payload_or_a_key(busy: Watched) -> None:
    log = busy.log.read_text()
    assert "ready" in log or "Starting" in log, "the log is not what the service writes"
    assert found_in(log, CANARY) == []
    for secret in (*busy.secrets[:-1], TOKEN):
        assert found_in(log, secret) == []


def test_each_request_is_a_line_that_says_whose_it_is(busy: Watched) -> None:
    reply = busy.tenant.http.post("/predict", json={"project": "none", "inputs": ["x"]})
    told: list[Object] = []

    def written() -> bool:
        """The line comes after the reply."""
        lines = [json.loads(line) for line in busy.log.read_text().splitlines() if line.startswith("{")]
        told[:] = [line for line in lines if line.get("request_id") == reply.headers["x-request-id"]]
        return bool(told)

    assert soon(written, SOON_S)
    (line,) = told
    assert line["logger"] == "tsugiki.requests" and line["ms"] > 0
    assert (line["method"], line["route"], line["status"]) == ("POST", "/predict", 404)
    assert line["tenant"] == busy.tenant.id


def test_what_a_deleted_sample_held_is_in_no_file(watched: Watched) -> None:
    http = watched.tenant.http
    path = f"/v1/projects/{good(http.post('/v1/projects', json={'name': 'forgotten'}))['id']}"

    def added(text: str) -> str:
        return good(http.post(f"{path}/samples", json={"samples": [{"input": text, "label": "a"}]}))["data"][0]["id"]

    def held(text: str) -> list[str]:
        files = [path for path in watched.home.rglob("*") if path.is_file()]
        return [path.name for path in files if text.encode() in path.read_bytes()]

    deleted, dropped = f"{CANARY} of one deleted", f"{CANARY} of one dropped"
    first, second = added(deleted), added(dropped)
    assert held(deleted) and held(dropped), "the scan sees what is there"
    good(http.delete(f"{path}/samples/{first}"))
    good(http.post(f"{path}/audit/fixes", json={"fixes": [{"sample": second, "action": "drop"}]}))
    assert soon(lambda: not held(deleted) and not held(dropped), SOON_S)


def test_the_scan_sees_what_is_written_down(busy: Watched) -> None:
    # The one secret that the log must hold, as the first start tells it there.
    assert "plain" in found_in(busy.log.read_text(), busy.secrets[-1])
    assert found_in(base64.b64encode(CANARY.encode()).decode(), CANARY) == ["base64"]


def test_a_tenants_key_is_stored_nowhere_as_it_is(busy: Watched) -> None:
    told = {"bootstrap-key", "service.log"}  # where the operator's is told, by design
    for path in [path for path in busy.home.rglob("*") if path.is_file() and path.name not in told]:
        held = path.read_bytes()
        assert not [secret for secret in busy.secrets if secret.encode() in held], path


def test_metrics_name_no_tenant_and_no_payload(busy: Watched) -> None:
    reply = httpx.get(f"{busy.tenant.url}/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert reply.status_code == 200
    for word in (CANARY, busy.tenant.id, busy.tenant.name, "watched", "proj_", "ten_", "key_"):
        assert word not in reply.text, word
    assert 'tsugiki_prediction_rows_total{outcome="error"}' in reply.text
    assert 'route="/v1/projects/{p}"' in reply.text
    assert 'tsugiki_refusals_total{code="json_invalid"}' in reply.text


def test_with_a_scrape_token_no_key_opens_the_metrics(busy: Watched) -> None:
    refused(busy.tenant.operator.get("/metrics"), 401)
    refused(busy.tenant.http.get("/metrics"), 401)
    as_key = {"authorization": f"Bearer {TOKEN}"}
    refused(httpx.get(f"{busy.tenant.url}/v1/me", headers=as_key), 401)
    refused(httpx.post(f"{busy.tenant.url}/metrics", headers={**as_key, "Idempotency-Key": "k"}), 405)


def test_the_limit_on_bodies_is_the_operators(busy: Watched) -> None:
    text = "a" * 65_536
    refused(busy.tenant.http.post("/predict", json={"project": "watched", "inputs": [text]}), 413, "too_large")
