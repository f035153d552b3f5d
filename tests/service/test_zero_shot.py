"""A project with labels and no samples: it answers by what they are called, until it has learned better."""

from __future__ import annotations

import httpx
import pytest

from tests.service.asking import SAMPLES, Object, Tenant, good, listed, refused

LABELS = [{"name": "billing", "description": "refund money, charge on my card"}, {"name": "delivery_order"}]


def make(http: httpx.Client, name: str, **more: object) -> str:
    """The path of a fresh project with labels."""
    body = {"name": name, "labels": LABELS, **more}
    return f"/v1/projects/{good(http.post('/v1/projects', json=body))['name']}"


def predict(http: httpx.Client, project: str, *inputs: str) -> Object:
    return good(http.post(f"{project}/predict", json={"inputs": inputs, "top_k": 5}))


def test_a_project_with_labels_answers_at_once(http: httpx.Client) -> None:
    project = make(http, "named")
    told = predict(http, project, "refund money, charge on my card", "delivery order")
    assert (told["version"], told["method"]) == (1, "zero_shot")
    assert [row["label"] for row in told["data"]] == ["billing", "delivery_order"]
    assert sum(score["score"] for score in told["data"][0]["scores"]) == pytest.approx(1.0)


def test_it_claims_nothing_that_was_not_measured(http: httpx.Client) -> None:
    project = make(http, "unmeasured")
    version = good(http.get(f"{project}/versions/1"))
    assert version["method"] == "zero_shot" and version["labels"] == ["billing", "delivery_order"]
    assert version["metrics"]["held_out"] == 0
    assert {value for name, value in version["metrics"].items() if name != "held_out"} == {None}
    report = good(http.get(f"{project}/versions/1/evaluation"))
    assert report["accuracy"] is None and report["thresholds"] == [] and "no labelled samples" in report["note"]
    assert good(http.get(f"{project}/versions/1/audit"))["data"] == []
    card = http.get(f"{project}/versions/1/card")
    assert card.status_code == 200 and "Not measured" in card.text
    plan = listed(http, f"{project}/adaptations")[0]["plan"]
    assert (plan["chosen"], plan["next"]) == ("zero_shot", None)
    assert any("next: the head" in reason for reason in plan["reasons"])


def test_new_labels_renew_it_and_descriptions_do_too(http: httpx.Client) -> None:
    project = make(http, "renewed")
    good(http.patch(project, json={"labels": [*LABELS, {"name": "weather", "description": "rain today"}]}))
    told = predict(http, project, "rain today")
    assert (told["version"], told["data"][0]["label"]) == (2, "weather")
    good(http.patch(project, json={"labels": [LABELS[0], {**LABELS[1], "description": "rain today"}]}))
    told = predict(http, project, "rain today")
    assert (told["version"], told["data"][0]["label"]) == (3, "delivery_order")
    good(http.patch(project, json={"name": "renewed-not"}))
    assert predict(http, "/v1/projects/renewed-not", "rain")["version"] == 3


def test_what_learned_from_samples_is_not_replaced_by_names(http: httpx.Client) -> None:
    project = make(http, "learned")
    rows = [{**row, "label": {"delivery": "delivery_order"}.get(row["label"], row["label"])} for row in SAMPLES]
    done = good(http.post("/adapt", json={"project": "learned", "samples": rows, "wait_seconds": 60}))["adaptation"]
    assert (done["plan"]["chosen"], done["version"], done["gate"]["promoted"]) == ("head", 2, True)
    good(http.patch(project, json={"labels": [*LABELS, {"name": "weather"}]}))
    assert predict(http, project, "pay")["version"] == 2 and len(listed(http, f"{project}/versions")) == 2
    asked = good(http.post(f"{project}/adaptations", json={"method": "zero_shot", "wait_seconds": 60}))
    assert asked["gate"]["promoted"] is False and "learned from samples" in asked["gate"]["reason"]
    # Every sample may judge it, for it looked at none.
    assert good(http.get(f"{project}/versions/3/evaluation"))["held_out"] == len(SAMPLES)


def test_one_sample_of_a_declared_label_is_enough_and_none_too(http: httpx.Client) -> None:
    make(http, "single", labels=[*LABELS, {"name": "weather"}])
    rows = [
        {"input": "refund my money", "label": "billing"},
        {"input": "order lost", "label": "delivery_order"},
        {"input": "where is my order", "label": "delivery_order"},
    ]
    reply = good(http.post("/adapt", json={"project": "single", "samples": rows, "wait_seconds": 60}))
    ready = reply["samples"]["readiness"]
    assert (ready["labels"], ready["min_per_label"], ready["method_now"]) == (3, 0, "head")
    done = reply["adaptation"]
    assert (done["status"], done["plan"]["chosen"], done["error"]) == ("succeeded", "head", None)
    told = predict(http, "/v1/projects/single", "refund my money")
    assert {score["label"] for score in told["data"][0]["scores"]} == {"billing", "delivery_order", "weather"}


def test_a_slip_of_a_label_leaves_what_is_declared_to_be_learnt(http: httpx.Client) -> None:
    project = make(http, "slipped")
    rows = [{**row, "label": {"delivery": "delivery_order"}.get(row["label"], row["label"])} for row in SAMPLES]
    rows.append({"input": "a bill", "label": "biling"})
    done = good(http.post("/adapt", json={"project": "slipped", "samples": rows, "wait_seconds": 60}))["adaptation"]
    assert (done["status"], done["plan"]["chosen"], done["version"]) == ("succeeded", "head", 2)
    assert predict(http, project, "refund my money")["method"] == "head"


def test_what_is_left_to_the_user_is_left_to_the_user(http: httpx.Client) -> None:
    manual = make(http, "manually", policy={"adapt": "manual"})
    refused(http.post(f"{manual}/predict", json={"inputs": ["pay"]}), 409, "no_version")
    done = good(http.post(f"{manual}/adaptations", json={"wait_seconds": 60}))
    assert (done["plan"]["chosen"], done["version"]) == ("zero_shot", 1)
    unmoved = make(http, "unmoved", policy={"promote": "manual"})
    refused(http.post(f"{unmoved}/predict", json={"inputs": ["pay"]}), 409, "no_version")
    assert [version["method"] for version in listed(http, f"{unmoved}/versions")] == ["zero_shot"]


def test_a_single_label_names_nothing_to_choose_from(http: httpx.Client) -> None:
    alone = make(http, "alone", labels=LABELS[:1])
    found = refused(http.post(f"{alone}/predict", json={"inputs": ["pay"]}), 409, "no_version")
    assert "labels" in found["fix"]
    refused(http.post(f"{alone}/adaptations", json={"method": "zero_shot"}), 422, "too_few_labels")


def test_an_export_is_compared_on_the_labels_until_there_are_samples(http: httpx.Client) -> None:
    project = make(http, "exported")
    done = good(http.post(f"{project}/versions/1/exports", json={"wait_seconds": 60}))
    assert done["status"] == "succeeded", done["error"]
    assert (done["parity"]["over"], done["parity"]["label_agreement"]) == ("labels", 1.0)
    good(http.post(f"{project}/samples", json={"samples": SAMPLES[:6]}))
    later = good(http.post(f"{project}/versions/1/exports", json={"precision": "int8", "wait_seconds": 60}))
    assert later["status"] == "succeeded", later["error"]
    assert later["parity"]["over"] == "samples"


def test_other_tenants_labels_are_none_of_it(http: httpx.Client, stranger: Tenant) -> None:
    make(http, "own")
    refused(stranger.http.post("/v1/projects/own/predict", json={"inputs": ["pay"]}), 404)


def test_a_head_tells_what_more_samples_would_bring(http: httpx.Client, support: str) -> None:
    done = good(http.post(f"{support}/adaptations", json={"wait_seconds": 60, "promote": "never"}))
    near = done["plan"]["profile"]["closeness"]
    assert near["ci95"][0] <= near["accuracy"] <= near["ci95"][1]
    assert done["plan"]["profile"].keys() >= {"mean_tokens", "max_tokens", "imbalance", "median_per_label", "device"}
    assert done["plan"]["profile"]["rates"]["forward"] > done["plan"]["profile"]["rates"]["backward"] > 0
    head = next(one for one in done["plan"]["candidates"] if one["method"] == "head")
    assert head["score"] == near["accuracy"] and head["ci95"] == near["ci95"]
    assert done["plan"]["next"] is None and any("LoRA" in reason for reason in done["plan"]["reasons"])
    told = good(http.post(f"{support}/adaptations", json={"dry_run": True}))
    assert told["plan"]["profile"]["closeness"] == near, "what was measured is known to the next plan"
