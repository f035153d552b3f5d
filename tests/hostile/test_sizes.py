"""Too much of everything: refused quickly by a limit with a name, and what is just small enough is not."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.hostile.checking import harmless
from tests.service.asking import SAMPLES, Object, Tenant, good

JSON = {"content-type": "application/json"}
LONG = "a" * (10 << 20)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/predict", {"project": "support", "inputs": [LONG]}, "input_too_long"),
        ("/adapt", {"project": "new", "samples": [{"input": LONG, "label": "a"}]}, "input_too_long"),
        ("/adapt", {"project": "new", "samples": [{"input": "pay", "label": LONG}]}, "label_too_long"),
        ("/adapt", {"project": "new", "samples": [{"input": "pay", "label": "x" * 10_000}]}, "label_too_long"),
        ("/adapt", {"project": LONG, "samples": []}, "invalid"),
        ("/predict", {"project": "support", "inputs": ["pay"] * 1_025}, "invalid"),
        ("/adapt", {"project": "new", "samples": [{"input": "pay", "label": "a"}] * 10_001}, "invalid"),
        ("/v1/projects/support/samples", {"samples": [{"input": "pay"}] * 10_001}, "invalid"),
        ("/v1/projects", {"name": "new", "labels": [{"name": str(n)} for n in range(1_001)]}, "invalid"),
        ("/v1/projects", {"name": "n" * 64}, "invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
def test_too_much_is_refused(tenant: Tenant, path: str, body: Object, code: str) -> None:
    found = harmless(tenant, lambda http: http.post(path, json=body), 422, code)
    assert len(json.dumps(found)) < 20_000, "a refusal quotes no payload"


def test_too_many_labels_are_refused(tenant: Tenant) -> None:
    rows = [{"input": f"order {n}", "label": f"l{n // 2}"} for n in range(2_002)]
    body = {"project": "new", "samples": rows}
    harmless(tenant, lambda http: http.post("/adapt", json=body), 422, "too_many_labels")


def test_too_many_lines_are_refused(tenant: Tenant) -> None:
    headers = {"content-type": "application/x-ndjson"}
    lines = b'{"input":"pay"}\n' * 10_001
    send = "/v1/projects/support/samples"
    harmless(tenant, lambda http: http.post(send, content=lines, headers=headers), 422, "rows_out_of_range")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"project":"support","inputs":['], ids=["list", "object", "in"])
def test_bottomless_nesting_is_refused(tenant: Tenant, opening: bytes) -> None:
    body = opening + b"[" * 200_000
    harmless(tenant, lambda http: http.post("/predict", content=body, headers=JSON), 422, "json_invalid")
    harmless(tenant, lambda http: http.post("/bento/predict", content=body, headers=JSON), 422, "json_invalid")


def test_a_fault_far_down_in_a_large_body_is_found(tenant: Tenant) -> None:
    rows = b",".join([b'{"input":"pay","label":"a"}'] * 4_999)
    body = b'{"project":"new","samples":[' + rows + b',{"input":"late","metadata":{"x":[1,NaN]}}]}'
    found = harmless(tenant, lambda http: http.post("/adapt", content=body, headers=JSON), 422, "json_not_finite")
    assert found["errors"][0]["pointer"] == "/samples/4999/metadata/x/1"


def test_a_bomb_in_gzip_is_not_opened(tenant: Tenant) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    headers = {**JSON, "content-encoding": "gzip"}
    harmless(tenant, lambda http: http.post("/predict", content=bomb, headers=headers), 415, "unsupported_type")


def test_the_largest_that_is_allowed_is_answered(tenant: Tenant) -> None:
    answered = good(tenant.http.post("/predict", json={"project": "support", "inputs": ["pay"] * 1_024}))
    assert len(answered["data"]) == 1_024
    text = "pay " * 16_384
    assert good(tenant.http.post("/predict", json={"project": "support", "inputs": [text]}))["data"][0]["truncated"]


LABELS = ["😀🎉", "../../x", "x" * 256, "<script>alert(1)</script>", "'; DROP TABLE samples; --", "a\nb", "%00", "שלום"]


def test_a_label_may_be_any_text(tenant: Tenant) -> None:
    rows = [{**row, "label": LABELS[n % len(LABELS)]} for n, row in enumerate(SAMPLES)]
    done = tenant.adapt("odd-labels", rows)
    assert done["samples"]["accepted"] == len(rows) and done["adaptation"]["status"] == "succeeded"
    answered = good(tenant.http.post("/predict", json={"project": "odd-labels", "inputs": ["pay"], "top_k": 100}))
    assert {score["label"] for score in answered["data"][0]["scores"]} == set(LABELS)
    for label in LABELS:
        found = good(tenant.http.get("/v1/projects/odd-labels/samples", params={"label": label}))
        assert {sample["label"] for sample in found["data"]} == {label}
    assert tenant.http.get("/v1/projects/odd-labels/versions/1/card").status_code == 200
