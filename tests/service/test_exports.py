"""An export, unpacked, answers alone as the service does."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.service.asking import Object, Tenant, good, refused

FILES = {"model.onnx", "labels.json", "manifest.json", "predict.py", "requirements.txt"}


@pytest.fixture(scope="module")
def export(http: httpx.Client, support: str) -> Object:
    wish = {"format": "onnx", "precision": "fp32", "wait_seconds": 60}
    return good(http.post(f"{support}/versions/2/exports", json=wish))


def test_an_export_carries_its_certificate(http: httpx.Client, support: str, export: Object) -> None:
    assert export["object"] == "export" and export["id"].startswith("exp_") and export["status"] == "succeeded"
    assert (export["version"], export["format"], export["precision"]) == (2, "onnx", "fp32")
    parity = export["parity"]
    assert parity["reference"] == "service" and parity["rows"] > 0
    assert parity["max_abs_diff"] < 1e-4 and parity["label_agreement"] == 1
    assert export["latency"]["p50_ms"] > 0
    assert good(http.get(f"/v1/exports/{export['id']}")) == export
    again = good(http.post(f"{support}/versions/2/exports", json={"format": "onnx"}))
    assert again["id"] == export["id"]


def test_the_unpacked_export_prints_the_service_s_answer(
    http: httpx.Client, support: str, export: Object, tmp_path: Path
) -> None:
    reply = http.get(f"/v1/exports/{export['id']}/content")
    assert reply.status_code == 200 and reply.headers["content-type"] == "application/zip"
    assert len(reply.content) == export["bytes"]
    assert hashlib.sha256(reply.content).hexdigest() == export["sha256"] == reply.headers["x-content-sha256"]
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert set(archive.namelist()) >= FILES
        archive.extractall(tmp_path)
    text = "refund my money please"
    done = subprocess.run(
        [sys.executable, "-I", "predict.py", text], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    alone = json.loads(done.stdout)
    served = good(http.post(f"{support}/predict?version=2", json={"inputs": [text], "top_k": 3}))["data"][0]
    assert alone["label"] == served["label"]
    scores = {score["label"]: score["score"] for score in served["scores"]}
    assert {score["label"]: score["score"] for score in alone["scores"]} == pytest.approx(scores, abs=1e-4)


def test_an_export_abstains_as_the_project_s_policy_wants_when_it_is_asked_for(
    http: httpx.Client, tenant: Tenant
) -> None:
    tenant.adapt("abstaining")
    path, wish = "/v1/projects/abstaining", {"format": "onnx", "wait_seconds": 60}
    first = good(http.post(f"{path}/versions/1/exports", json=wish))
    good(http.patch(path, json={"policy": {"abstain": {"target_precision": 0.99}}}))
    second = good(http.post(f"{path}/versions/1/exports", json=wish))
    assert (first["status"], second["status"]) == ("succeeded", "succeeded")
    below: list[float | None] = []
    for export in (first, second):
        with zipfile.ZipFile(io.BytesIO(http.get(f"/v1/exports/{export['id']}/content").content)) as archive:
            below.append(json.loads(archive.read("manifest.json"))["abstain_below"])
    assert below[0] is None
    assert below[1] is not None
    good(http.patch(path, json={"policy": {"abstain": None}}))
    assert good(http.post(f"{path}/versions/1/exports", json=wish))["id"] == first["id"]


def test_an_export_that_is_not_done_has_no_file(http: httpx.Client, support: str) -> None:
    begun = http.post(f"{support}/versions/1/exports", json={"precision": "fp32"})
    assert begun.status_code in (200, 202)
    reply = http.get(f"/v1/exports/{begun.json()['id']}/content")
    assert reply.status_code == 200 or refused(reply, 409, "export_not_ready")


@pytest.mark.parametrize("wish", [{"format": "pickle"}, {"precision": "fp64"}, {"wait_seconds": -1}])
def test_a_format_nobody_makes_is_refused(http: httpx.Client, support: str, wish: Object) -> None:
    refused(http.post(f"{support}/versions/2/exports", json=wish), 422)


def test_unknown_versions_and_exports_are_not_found(http: httpx.Client, support: str) -> None:
    refused(http.post(f"{support}/versions/77/exports", json={}), 404)
    for path in ("/v1/exports/exp_0", "/v1/exports/exp_0/content"):
        refused(http.get(path), 404)
