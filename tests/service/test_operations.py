"""Probes, docs and the contract itself."""

from __future__ import annotations

import re
import uuid

import httpx
import pytest

from adapters import METHODS
from service.guard import ALSO_READ
from service.idempotency import READING
from service.routes import ROUTERS
from tests.service.asking import Tenant, good, refused
from tsugiki.training.hyperparameters import offered

# Written from the interface's page, not from the code: what is promised must be there.
PROMISED = """
POST /adapt
POST /predict
POST GET /v1/projects
GET PATCH DELETE /v1/projects/{p}
GET /v1/backbones
POST /v1/backbones/recommend
GET /v1/me
POST GET /v1/projects/{p}/samples
GET DELETE /v1/projects/{p}/samples/{s}
GET /v1/projects/{p}/samples/{s}/content
PUT /v1/projects/{p}/samples/{s}/label
POST GET /v1/projects/{p}/adaptations
GET /v1/adaptations/{a}
POST /v1/adaptations/{a}/cancel
GET /v1/adaptations/{a}/events
GET /v1/projects/{p}/versions
GET /v1/projects/{p}/versions/{v}
GET /v1/projects/{p}/versions/{v}/evaluation
GET /v1/projects/{p}/versions/{v}/audit
GET /v1/projects/{p}/versions/{v}/card
POST /v1/projects/{p}/audit/fixes
GET /v1/projects/{p}/aliases
PUT /v1/projects/{p}/aliases/{name}
GET /v1/projects/{p}/aliases/{name}/history
POST /v1/projects/{p}/rollback
POST /v1/projects/{p}/predict
POST /v1/projects/{p}/versions/{v}/exports
GET /v1/exports/{e}
GET /v1/exports/{e}/content
POST GET /admin/v1/tenants
POST GET /admin/v1/tenants/{t}/keys
DELETE /admin/v1/tenants/{t}/keys/{k}
PUT /admin/v1/tenants/{t}/quota
GET /livez
GET /healthz
GET /readyz
GET /metrics
"""
DOCUMENTED = {
    "ProgressReply": ("eta_seconds", "queue_position"),
    "AdaptationReply": ("follows",),
    "EventReply": ("id", "data"),
    "PredictionReply": ("familiarity",),
    "FindingReply": ("evidence", "state", "actions", "suggested_label"),
    "FixReply": ("status", "error"),
    "AuditReply": ("summary", "neighbours"),
    "ParityReply": ("over",),
    "PolicyIn": ("quarantine",),
}
UNGUARDED = ("/livez", "/readyz", "/healthz", "/metrics")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_a_probe_needs_no_key_and_names_its_request(tenant: Tenant, path: str) -> None:
    reply = httpx.get(tenant.url + path, headers={"X-Request-ID": "probe-1"})
    assert (reply.status_code, reply.headers["x-request-id"]) == (200, "probe-1")
    refused(httpx.post(tenant.url + path, headers={"Idempotency-Key": "k"}), 405, "method_not_allowed")


def test_metrics_without_a_token_are_the_operators(tenant: Tenant) -> None:
    exposed = tenant.operator.get("/metrics")
    assert exposed.status_code == 200 and exposed.headers["content-type"].startswith("text/plain")
    assert 'tsugiki_requests_total{method="GET",route="/readyz",status="200"}' in exposed.text
    reader = {"authorization": f"Bearer {tenant.issue(['predict'])['secret']}"}
    refused(httpx.get(f"{tenant.url}/metrics", headers=reader), 403)
    refused(tenant.http.get("/metrics"), 403, "forbidden")
    refused(httpx.get(f"{tenant.url}/metrics"), 401)


def test_a_method_nobody_knows_makes_no_metric_of_its_own(tenant: Tenant) -> None:
    refused(tenant.http.request("PROPFIND", "/predict"), 405, "method_not_allowed")
    exposed = tenant.operator.get("/metrics").text
    assert "PROPFIND" not in exposed and 'method="other"' in exposed


def test_head_answers_as_get_does_without_a_body(tenant: Tenant, http: httpx.Client, support: str) -> None:
    for path in (
        "/v1/projects",
        support,
        f"{support}/versions",
        "/openapi.json",
        "/livez",
        "/docs",
        "/v1/projects/none",
    ):
        whole, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        assert head.headers["content-type"] == whole.headers["content-type"] and head.headers["x-request-id"]
    assert http.head("/predict").status_code == 405
    exposed = tenant.operator.get("/metrics").text
    assert 'tsugiki_requests_total{method="HEAD",route="/v1/projects/{p}",status="200"}' in exposed


def test_head_of_a_stream_of_events_ends(http: httpx.Client, support: str) -> None:
    job = good(http.get(f"{support}/adaptations"))["data"][0]["id"]
    reply = http.head(f"/v1/adaptations/{job}/events", headers={"accept": "text/event-stream"})
    assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/projects", "GET, HEAD, POST"),
        ("POST", "/v1/projects/x", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/predict", "POST"),
        ("HEAD", "/adapt", "POST"),
        ("OPTIONS", "/openapi.json", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_there_is_told_which_are(http: httpx.Client, method: str, path: str, allowed: str) -> None:
    reply = http.request(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allowed)


def test_a_path_with_a_slash_too_many_is_not_found(http: httpx.Client) -> None:
    for path in ("/v1/projects/", "/predict/", "/adapt/"):
        refused(http.post(path, json={"name": "slash"}, headers={"Idempotency-Key": uuid.uuid4().hex}), 404)
    refused(http.get("/v1/projects/"), 404, "not_found")


def test_the_contract_lists_every_promise(http: httpx.Client) -> None:
    contract = good(http.get("/openapi.json"))
    assert contract["openapi"].startswith("3.1")
    lines = [line.split() for line in PROMISED.strip().splitlines()]
    promised = {(method.lower(), words[-1]) for words in lines for method in words[:-1]}
    assert {(method, path) for path, methods in contract["paths"].items() for method in methods} == promised


def test_the_contract_documents_the_errors_of_every_route(http: httpx.Client) -> None:
    for path, methods in good(http.get("/openapi.json"))["paths"].items():
        for method, operation in methods.items():
            errors = {status for status in operation["responses"] if status >= "400"}
            if path in UNGUARDED:
                assert errors, path
                continue
            needed = {"401", "403", "422", "429", "500", "503"}
            needed |= {"404"} if re.search(r"\{\w+\}", path) else set()
            needed |= {"409"} if method == "post" and not path.endswith(READING) else set()  # of an Idempotency-Key
            needed |= {"507"} if method in ("put", "patch", "delete") else set()
            needed |= {"413", "415"} if "requestBody" in operation else set()
            assert errors >= needed, (method, path)
            for status in errors:
                assert "application/problem+json" in operation["responses"][status]["content"], (method, path)


def test_the_contract_names_every_type_that_a_body_may_have(http: httpx.Client) -> None:
    paths = good(http.get("/openapi.json"))["paths"]
    for path, methods in paths.items():
        for operation in methods.values():
            if "requestBody" in operation:
                ending = path[path.rfind("/") :] if path.startswith("/v1/projects/") else ""
                read = ("application/json", *ALSO_READ.get(ending, ()))
                assert set(operation["requestBody"]["content"]) == set(read), path
    form = paths["/v1/projects/{p}/samples"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"file", "label", "external_id", "source", "metadata"}


def test_no_route_is_hidden_but_pages(http: httpx.Client) -> None:
    shown = set(good(http.get("/openapi.json"))["paths"])
    declared = {getattr(route, "path", "") for router in ROUTERS for route in router.routes}
    assert declared - shown == {"/", "/docs", "/docs/{name}"}


def test_the_docs_load_nothing_from_elsewhere(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "//" not in re.sub(r"<!--.*?-->", "", page.text).replace("</", "").replace("// ", "")
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert assets and all(asset.startswith("/docs/") for asset in assets)
    for asset in assets:
        assert http.get(asset).status_code == 200
    refused(http.get("/docs/..%2f..%2fetc%2fpasswd"), 404)
    refused(http.get("/docs/index.html"), 404)


def test_paths_left_free_for_other_protocols_are_not_found(http: httpx.Client) -> None:
    for path in ("/hf/models/x", "/v2/health/ready", "/v1/embeddings", "/v1/models", "/label-studio/x/health"):
        refused(http.get(path), 404, "not_found")


def test_what_an_adaptation_may_be_given_and_tells_is_documented(http: httpx.Client) -> None:
    schemas = good(http.get("/openapi.json"))["components"]["schemas"]
    told = schemas["AdaptationIn"]["properties"]["hyperparameters"]["anyOf"][0]["description"]
    for method in METHODS:
        for name, one in offered(method).items():
            assert f"- `{method.name}`: `{name}`, {one.meaning} ({one.possible}; " in told
    for name, fields in DOCUMENTED.items():
        properties = schemas[name]["properties"]
        assert all(properties[field].get("description") for field in fields), name
