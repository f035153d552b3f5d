"""POST /adapt and POST /predict: from samples to answers in two calls."""

from __future__ import annotations

import httpx
import pytest

from tests.service.asking import SAMPLES, WEATHER, Object, Tenant, good, refused


def test_adapt_makes_the_project_and_a_live_version(http: httpx.Client) -> None:
    done = good(http.post("/adapt", json={"project": "new", "modality": "text", "samples": SAMPLES, "method": "auto"}))
    assert done.keys() >= {"project", "samples", "adaptation"}
    assert (done["project"]["name"], done["samples"]["accepted"]) == ("new", len(SAMPLES))
    assert (done["adaptation"]["status"], done["adaptation"]["version"]) == ("succeeded", 1)
    answered = good(http.post("/predict", json={"project": "new", "inputs": ["refund my money"], "top_k": 3}))
    assert (answered["version"], answered["data"][0]["label"], len(answered["data"][0]["scores"])) == (1, "billing", 2)
    by_id = good(http.post("/predict", json={"project": done["project"]["id"], "inputs": ["refund my money"]}))
    assert by_id["project"] == "new"


def test_adapt_again_adds_to_what_is_there(tenant: Tenant) -> None:
    tenant.adapt("grows")
    more = tenant.adapt("grows", [*WEATHER, SAMPLES[0]])
    assert (more["samples"]["accepted"], more["samples"]["duplicates"]) == (len(WEATHER), 1)
    assert more["adaptation"]["plan"]["profile"]["labels"] == 3
    again = tenant.adapt(more["project"]["id"], [])
    assert again["samples"]["data"] == [] and again["adaptation"]["version"] == 3


def test_adapt_does_not_wait_when_told_so(tenant: Tenant) -> None:
    begun = tenant.adapt("later", wait_seconds=0)["adaptation"]
    assert begun["status"] in ("queued", "running")
    tenant.adapt("after-later")
    assert good(tenant.http.get(f"/v1/adaptations/{begun['id']}"))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"samples": []}, "too_few_labels"),
        ({"samples": SAMPLES[:12]}, "too_few_labels"),
        ({"samples": [{"input": "pay", "label": "a"}, {"input": "late", "label": "b"}]}, "too_few_samples"),
        ({"samples": [{"input": "pay"}, {"input": "late"}]}, "label_missing"),
        ({"samples": [{"input": "", "label": "a"}]}, "input_empty"),
        ({"samples": SAMPLES, "method": "full"}, "method_unavailable"),
        ({"samples": SAMPLES, "modality": "image"}, "input_invalid"),
        ({"samples": [{"input": f"order {n}", "label": f"l{n // 2}"} for n in range(2_002)]}, "too_many_labels"),
    ],
    ids=["none", "one-label", "one-each", "no-labels", "all-bad", "method", "modality", "1001-labels"],
)
def test_what_cannot_be_adapted_leaves_no_trace(tenant: Tenant, body: Object, code: str) -> None:
    before = tenant.usage()
    refused(tenant.http.post("/adapt", json={"project": "untouched", **body}), 422, code)
    assert tenant.usage() == before
    refused(tenant.http.get("/v1/projects/untouched"), 404)


def test_a_bad_sample_among_good_ones_fails_alone(tenant: Tenant) -> None:
    done = tenant.adapt("mostly", [*SAMPLES, {"input": " ", "label": "billing"}, {"input": "pay"}])
    assert (done["samples"]["accepted"], done["samples"]["rejected"]) == (len(SAMPLES), 2)
    codes = [row["issues"][0]["code"] for row in done["samples"]["data"][len(SAMPLES) :]]
    assert codes == ["input_empty", "label_missing"]


def test_unknown_projects_are_not_found(http: httpx.Client) -> None:
    refused(http.post("/predict", json={"project": "nowhere", "inputs": ["pay"]}), 404)
    made_up = "proj_" + "0" * 26
    refused(http.post("/adapt", json={"project": made_up, "samples": SAMPLES}), 404)
