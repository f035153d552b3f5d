"""Adaptations: planned, started, watched, cancelled."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.service.asking import SAMPLES, Object, Tenant, good, listed, refused

PHASES = ["validate", "embed", "audit", "plan", "train", "calibrate", "evaluate", "gate", "promote"]


@pytest.fixture(scope="module")
def events(http: httpx.Client, support: str) -> str:
    """The events' path of an adaptation that has ended."""
    return f"/v1/adaptations/{listed(http, f'{support}/adaptations')[0]['id']}/events"


def test_one_that_ends_within_the_wait_answers_200_with_its_version(http: httpx.Client, support: str) -> None:
    done = good(http.post(f"{support}/adaptations", json={"wait_seconds": 60, "promote": "never"}))
    assert done["object"] == "adaptation" and done["id"].startswith("adp_") and done["project"].startswith("proj_")
    assert (done["status"], done["phase"], done["error"]) == ("succeeded", "promote", None)
    assert done["progress"] == {"fraction": 1.0, "eta_seconds": None, "queue_position": None}
    assert done["version"] == good(http.get(f"{support}/versions/{done['version']}"))["version"]
    assert done["gate"].keys() >= {"promoted", "reason", "difference", "ci95", "per_class"}
    assert done["gate"]["promoted"] is False and "left to you" in done["gate"]["reason"]
    assert done["timings"].keys() >= {"embed_ms", "fit_ms", "evaluate_ms", "total_ms"}
    plan = done["plan"]
    assert plan["chosen"] == "head" and plan["reasons"] and plan["profile"]["labels"] == 3
    candidates = {one["method"]: one for one in plan["candidates"]}
    assert candidates["zero_shot"].keys() == {"method", "seconds", "peak_bytes", "skipped"}
    assert candidates["head"].keys() >= {"method", "seconds", "peak_bytes"} and "skipped" not in candidates["head"]
    assert good(http.get(f"/v1/adaptations/{done['id']}")) == done


def test_without_a_wait_the_answer_is_202_and_the_end_can_be_watched(http: httpx.Client, support: str) -> None:
    begun = good(http.post(f"{support}/adaptations", json={"promote": "never"}), 202)
    assert begun["status"] in ("queued", "running") and begun["version"] is None
    assert begun["plan"]["chosen"] == "head" and begun["plan"]["candidates"]
    # One job a tenant at a time: when this one has ended, so has the one before.
    good(http.post(f"{support}/adaptations", json={"promote": "never", "wait_seconds": 60}))
    assert good(http.get(f"/v1/adaptations/{begun['id']}"))["status"] == "succeeded"
    assert begun["id"] in [one["id"] for one in listed(http, f"{support}/adaptations")]


def test_a_dry_run_plans_and_leaves_nothing(http: httpx.Client, support: str) -> None:
    before = listed(http, f"{support}/adaptations")
    told = good(http.post(f"{support}/adaptations", json={"dry_run": True, "budget": {"seconds": 5}}))
    assert told["plan"]["chosen"] == "head" and told["version"] is None
    assert any("5 s" in reason for reason in told["plan"]["reasons"])
    assert listed(http, f"{support}/adaptations") == before


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"method": "lora"}, "method_unavailable"),
        ({"method": "magic"}, "invalid"),
        ({"backbone": "minilm-en"}, "backbone_fixed"),
        ({"budget": {"seconds": 0}}, "invalid"),
        ({"wait_seconds": 61}, "invalid"),
        ({"promote": "maybe"}, "invalid"),
        ({"hyperparameters": {"learning_rate": 1}}, "hyperparameter_invalid"),
        ({"hyperparameters": {"seed": -1}}, "hyperparameter_invalid"),
        ({"hyperparameters": []}, "invalid"),
        ({"method": "head", "hyperparameters": {"l2": 0}}, "hyperparameter_invalid"),
        ({"method": "lora", "hyperparameters": {"rank": 8.0}}, "hyperparameter_invalid"),
    ],
)
def test_what_cannot_run_is_refused_at_once(http: httpx.Client, support: str, wish: Object, code: str) -> None:
    refused(http.post(f"{support}/adaptations", json=wish), 422, code)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_refused_hyperparameter_is_named_with_what_it_may_be(http: httpx.Client, support: str, dry_run: bool) -> None:
    wish = {"method": "partial", "hyperparameters": {"epochs": 0, "rank": 4}, "dry_run": dry_run}
    found = refused(http.post(f"{support}/adaptations", json=wish), 422, "hyperparameter_invalid")
    assert [place["pointer"] for place in found["errors"]] == ["/hyperparameters/epochs", "/hyperparameters/rank"]
    assert found["errors"][0]["detail"] == "0 was given, expected a number from 0.1 to 200"
    assert "top_blocks" in found["errors"][1]["fix"]


def test_hyperparameters_are_used_and_told(http: httpx.Client, support: str) -> None:
    wish = {"method": "head", "hyperparameters": {"l2": 3, "seed": 7}, "promote": "never", "wait_seconds": 60}
    done = good(http.post(f"{support}/adaptations", json=wish))
    assert done["status"] == "succeeded"
    version = f"{support}/versions/{done['version']}"
    details = good(http.get(version))["lineage"]["details"]
    assert (details["l2"], details["strength"], len(details["path"])) == (3, 3, 1)
    assert "l2 3" in http.get(f"{version}/card").text


def test_too_few_samples_are_refused_with_what_is_missing(http: httpx.Client) -> None:
    good(http.post("/v1/projects", json={"name": "few"}))
    found = refused(http.post("/v1/projects/few/adaptations", json={}), 422, "too_few_labels")
    assert "need 2" in found["detail"]
    rows = [{"input": "pay", "label": "a"}, {"input": "late", "label": "b"}]
    good(http.post("/v1/projects/few/samples", json={"samples": rows}))
    refused(http.post("/v1/projects/few/adaptations", json={}), 422, "too_few_samples")


def test_manual_promotion_leaves_the_alias_where_it_is(http: httpx.Client) -> None:
    good(http.post("/v1/projects", json={"name": "manual", "policy": {"promote": "manual"}}))
    good(http.post("/v1/projects/manual/samples", json={"samples": SAMPLES}))
    done = good(http.post("/v1/projects/manual/adaptations", json={"wait_seconds": 60}))
    assert (done["version"], done["gate"]["promoted"]) == (1, False)
    refused(http.post("/predict", json={"project": "manual", "inputs": ["pay"]}), 409, "no_version")
    good(http.put("/v1/projects/manual/aliases/live", json={"version": 1, "expected_version": None}))
    assert good(http.post("/predict", json={"project": "manual", "inputs": ["pay"]}))["version"] == 1


def test_events_tell_the_phases_in_order(http: httpx.Client, events: str) -> None:
    found = listed(http, events)
    assert found == good(http.get(events))["data"]
    assert [event["id"] for event in found] == list(range(1, len(found) + 1))
    assert {event["type"] for event in found} <= {"phase", "metric", "message"}
    named = [event["data"]["phase"] for event in found if event["type"] == "phase"]
    assert list(dict.fromkeys(named)) == PHASES
    assert all(event["at"] for event in found)


def test_a_stream_of_events_goes_on_after_the_last_one_seen(http: httpx.Client, events: str) -> None:
    whole = good(http.get(events))["data"]
    reply = http.get(events, headers={"accept": "text/event-stream", "last-event-id": "3"})
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/event-stream")
    ids = [line.removeprefix("id: ") for line in reply.text.splitlines() if line.startswith("id: ")]
    assert ids == [str(event["id"]) for event in whole[3:]]
    assert reply.text.count("\nevent: phase\ndata: {") + reply.text.count("\nevent: metric\ndata: {") == len(ids)


def test_a_stream_tells_what_comes_until_the_job_ends_and_is_taken_up_after_a_break(stranger: Tenant) -> None:
    rows = [{"input": f"parcel {n} late {n * 7} refund", "label": f"l{n % 5}"} for n in range(3_000)]
    job = stranger.adapt("streamed", rows, wait_seconds=0)["adaptation"]["id"]
    path, accepted = f"/v1/adaptations/{job}/events", {"accept": "text/event-stream"}
    with stranger.http.stream("GET", path, headers=accepted) as reply:
        assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/event-stream")
        first = next(line for line in reply.iter_lines() if line.startswith("id: "))
    assert good(stranger.http.get(f"/v1/adaptations/{job}"))["status"] in ("queued", "running")
    seen = {**accepted, "last-event-id": first.removeprefix("id: ")}
    with stranger.http.stream("GET", path, headers=seen) as reply:
        later = [line.removeprefix("id: ") for line in reply.iter_lines() if line.startswith("id: ")]
    assert good(stranger.http.get(f"/v1/adaptations/{job}"))["status"] == "succeeded"
    whole = [str(event["id"]) for event in listed(stranger.http, path)]
    assert [first.removeprefix("id: "), *later] == whole
    reply = stranger.http.get(path, headers={**accepted, "last-event-id": whole[-1]})
    assert (reply.status_code, reply.content) == (204, b"")


def test_what_was_cancelled_publishes_nothing(stranger: Tenant) -> None:
    rows = [{"input": f"order {n} late {n * 7} charge", "label": f"l{n % 5}"} for n in range(6_000)]
    # The first occupies the tenant's one place, so that the second surely waits.
    first = stranger.adapt("slow", rows, wait_seconds=0)["adaptation"]
    second = good(stranger.http.post("/v1/projects/slow/adaptations", json={}), 202)
    assert second["status"] == "queued" and second["plan"]["chosen"] == "head"
    for waiting in (second, first):
        gone = good(stranger.http.post(f"/v1/adaptations/{waiting['id']}/cancel"))
        assert (gone["status"], gone["version"]) == ("cancelled", None)
        assert gone["finished_at"] and gone["plan"]["chosen"] == "head"
    assert good(stranger.http.post(f"/v1/adaptations/{first['id']}/cancel"))["status"] == "cancelled"
    good(stranger.http.post("/v1/projects/slow/adaptations", json={"dry_run": True}))
    stranger.adapt("next")
    assert good(stranger.http.get("/v1/projects/slow/versions"))["data"] == []
    refused(stranger.http.post("/predict", json={"project": "slow", "inputs": ["pay"]}), 409, "no_version")


def test_what_has_defaults_alone_needs_no_body(http: httpx.Client, support: str) -> None:
    begun = good(http.post(f"{support}/adaptations", headers={"idempotency-key": uuid.uuid4().hex}), 202)
    good(http.post(f"/v1/adaptations/{begun['id']}/cancel"))
    refused(http.post(f"/v1/adaptations/{begun['id']}/cancel", json={"now": True}), 422, "invalid")
    good(http.post("/v1/backbones/recommend"))
    refused(http.post("/v1/projects"), 415, "unsupported_type")


def test_cancelling_what_has_ended_changes_nothing(http: httpx.Client, support: str) -> None:
    ended = listed(http, f"{support}/adaptations")[0]
    assert good(http.post(f"/v1/adaptations/{ended['id']}/cancel")) == ended
