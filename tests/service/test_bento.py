"""The two verbs for BentoML's clients, answering as the routes do."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest

from service.launch import Running
from tests.service.asking import SAMPLES, Object, Tenant, good, refused

# As a user of BentoML writes it; a process of its own, as importing BentoML warns of what it itself deprecates.
SCRIPT = """
import json, sys
import bentoml
url, token, adapt, predict = json.load(sys.stdin)
with bentoml.SyncHTTPClient(url, token=token) as client:
    print(json.dumps([client.adapt(**adapt), client.predict(**predict)]))
"""


def test_a_bento_client_adapts_and_predicts(tenant: Tenant, server: Running) -> None:
    adapt = {"project": "bento", "samples": SAMPLES, "wait_seconds": 60}
    predict = {"project": "bento", "inputs": ["refund my money"], "top_k": 2}
    spoken = json.dumps([server.url, tenant.key, adapt, predict])
    script = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    output = subprocess.run(script, input=spoken, capture_output=True, text=True, check=True).stdout
    done, answered = json.loads(output)
    assert (done["adaptation"]["status"], done["adaptation"]["version"]) == ("succeeded", 1)
    as_route = good(tenant.http.post("/predict", json=predict))
    assert answered == as_route


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"project": "nowhere", "inputs": ["pay"]}, 404, "not_found"),
        ({"project": "nowhere", "inputs": []}, 422, "invalid"),
        ({"project": "nowhere", "inputs": ["pay"], "top_k": 0}, 422, "invalid"),
    ],
)
def test_a_refusal_is_a_problem_here_too(http: httpx.Client, body: Object, status: int, code: str) -> None:
    refused(http.post("/bento/predict", json=body), status, code)


def test_a_project_is_made_with_the_task_that_was_asked_for(tenant: Tenant) -> None:
    rows = [{"input": row["input"], "labels": [row["label"], "all"]} for row in SAMPLES]
    rows += [{"input": "nothing of it", "labels": []}, {"input": "neither this", "labels": []}]
    body = {"project": "several", "task": "multi_label", "samples": rows, "wait_seconds": 60}
    assert good(tenant.http.post("/bento/adapt", json=body))["project"]["task"] == "multi_label"


def test_a_key_makes_one_adaptation_here_too(tenant: Tenant) -> None:
    key = {"Idempotency-Key": "of-the-bento-test"}
    body = {"project": "bento-once", "samples": SAMPLES, "wait_seconds": 60}
    first = tenant.http.post("/bento/adapt", json=body, headers=key)
    again = tenant.http.post("/bento/adapt", json=body, headers=key)
    assert good(first)["adaptation"]["version"] == 1 and again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    refused(tenant.http.post("/bento/adapt", json=body | {"samples": []}, headers=key), 422, "idempotency_key_reused")
    assert len(good(tenant.http.get("/v1/projects/bento-once/adaptations"))["data"]) == 1


def test_the_verbs_ask_for_the_same_scopes(tenant: Tenant) -> None:
    reader = {"authorization": f"Bearer {tenant.issue(['predict'])['secret']}"}
    body = {"project": "x", "samples": SAMPLES}
    refused(httpx.post(f"{tenant.url}/bento/adapt", json=body, headers=reader), 403, "forbidden")
    refused(httpx.post(f"{tenant.url}/bento/adapt", json=body), 401, "unauthenticated")
    refused(httpx.get(f"{tenant.url}/schema.json"), 401)
