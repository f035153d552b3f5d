"""Bodies that are no request: each is a file, with what it must be refused with in bodies/expected.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx
import orjson
import pytest

from service.errors import problem
from tests.hostile.checking import harmless
from tests.service.asking import Tenant
from tsugiki.errors import Invalid

BODIES = Path(__file__).parent / "bodies"
EXPECTED: dict[str, dict[str, dict[str, str]]] = tomllib.loads((BODIES / "expected.toml").read_text())
PATHS = {
    "predict": "/predict",
    "adapt": "/adapt",
    "samples": "/v1/projects/support/samples",
    "form": "/v1/projects/support/predict",
}
TYPES = {
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".multipart": "multipart/form-data; boundary=BOUNDARY",
}
CASES = [(route, name) for route, cases in EXPECTED.items() for name in cases]


def test_every_file_has_an_expectation() -> None:
    files = {(path.parent.name, path.name) for path in BODIES.glob("*/*")}
    assert files == set(CASES)


@pytest.mark.parametrize(("route", "name"), CASES, ids=["/".join(case) for case in CASES])
def test_a_body_that_is_no_request_is_refused_at_its_place(tenant: Tenant, route: str, name: str) -> None:
    expected, body = EXPECTED[route][name], (BODIES / route / name).read_bytes()
    headers = {"content-type": TYPES[Path(name).suffix]}
    found = harmless(tenant, lambda http: http.post(PATHS[route], content=body, headers=headers), 422, expected["code"])
    if "pointer" in expected:
        assert expected["pointer"] in [place["pointer"] for place in found["errors"]]


@pytest.mark.parametrize("verb", ["predict", "adapt"])
def test_what_the_routes_refuse_bentos_verbs_refuse_too(tenant: Tenant, verb: str) -> None:
    for name, expected in EXPECTED[verb].items():
        body = (BODIES / verb / name).read_bytes()
        headers = {"content-type": "application/json"}
        found = harmless(tenant, lambda http: http.post(f"/bento/{verb}", content=body, headers=headers))  # noqa: B023
        assert found["code"] in (expected["code"], "json_invalid"), name


@pytest.mark.parametrize("fault", ["accepts", "fails", "keeps", "breaks"])
def test_the_check_sees_a_service_that_is_not_harmless(fault: str) -> None:
    kept = 0

    def broken(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        nonlocal kept
        headers = [("x-request-id", "r"), ("content-type", "application/json")]
        if environment["PATH_INFO"] == "/v1/me":
            start("200 OK", headers)
            return [orjson.dumps({"usage": {"samples": kept}})]
        if environment["PATH_INFO"] == "/predict":
            label = "delivery" if fault == "breaks" else "billing"
            start("200 OK", headers)
            return [orjson.dumps({"data": [{"label": label}]})]
        kept += fault == "keeps"
        status = {"accepts": "200 OK", "fails": "500 Internal Server Error"}.get(fault, "422 Unprocessable Entity")
        start(status, [headers[0], ("content-type", "application/problem+json")])
        return [orjson.dumps(problem(Invalid("no", fix="none"), instance="/adapt", request_id="r"))]

    with httpx.Client(transport=httpx.WSGITransport(broken), base_url="http://broken") as http:
        tenant = Tenant("", "", "", "", http, http)
        with pytest.raises(AssertionError):
            harmless(tenant, lambda http: http.post("/adapt"))
