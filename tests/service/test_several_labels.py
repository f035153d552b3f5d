"""A project whose samples may have several labels, over HTTP from the first sample to the export."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydantic import TypeAdapter

from service.launch import Running
from service.replies.audits import FindingReply
from tests.service.asking import Object, Tenant, good, listed, refused
from tsugiki.client import Client

WORDS = {
    "billing": ("refund", "charge", "bill", "price", "money", "account", "card", "pay"),
    "delivery": ("parcel", "late", "lost", "arrive", "order", "address", "phone", "delivery"),
    "praise": ("thanks", "great", "love", "good", "film", "music", "terrible", "weather"),
}
PRECISION = 0.9  # of whole sets: more than all of these reach
FILLING = ("the", "my", "is", "please", "help", "for", "it", "in")


def samples(count: int = 96, seed: int = 0) -> list[Object]:
    """Of every set of the three labels, the empty one too."""
    random = np.random.default_rng(seed)
    found: list[Object] = []
    for number in range(count):
        labels = [label for place, label in enumerate(WORDS) if number >> place & 1]
        words = [*random.choice(FILLING, 3), *(word for label in labels for word in random.choice(WORDS[label], 3))]
        found.append({"input": " ".join([*random.permutation(words), str(number)]), "labels": labels[::-1]})
    return found


@pytest.fixture(scope="module")
def path(tenant: Tenant) -> str:
    """A project with one version; tests add to it, and each says what it needs."""
    good(tenant.http.post("/v1/projects", json={"name": "several", "task": "multi_label"}))
    reply = tenant.adapt("several", samples())
    assert reply["samples"]["accepted"] == 96, reply["samples"]
    assert reply["adaptation"]["status"] == "succeeded", reply
    assert reply["adaptation"]["gate"]["promoted"]
    return "/v1/projects/several"


def test_samples_carry_sets(http: httpx.Client, path: str) -> None:
    first, second, third, fourth = good(http.get(f"{path}/samples", params={"limit": 4}))["data"]
    assert (first["label"], first["labels"]) == (None, [])
    assert (second["label"], second["labels"]) == ("billing", ["billing"])
    assert (fourth["label"], fourth["labels"]) == (None, ["billing", "delivery"])
    assert third["labels"] == ["delivery"]
    assert len(listed(http, f"{path}/samples", label="billing")) == 48
    assert listed(http, f"{path}/samples", label="Billing") == []


def test_the_same_said_otherwise_is_the_same(http: httpx.Client, path: str) -> None:
    given = samples()[3] | {"labels": ["delivery", "billing", "delivery"]}
    again = {"input": given["input"], "label": ["billing", "delivery"]}
    one = {"input": samples()[1]["input"], "label": "billing"}
    reply = good(http.post(f"{path}/samples", params={"validate_only": True}, json={"samples": [given, again, one]}))
    assert [row["status"] for row in reply["data"]] == ["duplicate"] * 3
    bare: Object = {"input": one["input"], "label": []}
    other = good(http.post(f"{path}/samples", params={"validate_only": True}, json={"samples": [bare]}))
    assert other["data"][0]["issues"][0]["code"] == "duplicate_conflicting_label"


def test_both_fields_at_once_and_several_in_a_single_label_project_are_refused(http: httpx.Client, path: str) -> None:
    both = {"input": "pay", "label": "billing", "labels": ["billing"]}
    found = good(http.post(f"{path}/samples", json={"samples": [both]}))["data"][0]
    assert (found["status"], found["issues"][0]["code"]) == ("rejected", "labels_twice")
    good(http.post("/v1/projects", json={"name": "single"}))
    rows: list[Object] = [
        {"input": "pay", "labels": ["a", "b"]},
        {"input": "late", "labels": []},
        {"input": "lost", "labels": ["a"]},
    ]
    reply = good(http.post("/v1/projects/single/samples", json={"samples": rows}))
    assert [row["status"] for row in reply["data"]] == ["rejected", "rejected", "accepted"]
    assert reply["data"][0]["issues"][0]["code"] == "labels_several"
    assert reply["data"][0]["issues"][0]["pointer"] == "/samples/0/labels"


def test_an_answer_is_a_set_perhaps_empty(http: httpx.Client, path: str) -> None:
    body = {"inputs": ["refund parcel charge late", "the my is please"], "top_k": 3}
    reply = good(http.post(f"{path}/predict", json=body))
    version = good(http.get(f"{path}/versions/{reply['version']}/evaluation"))
    thresholds = {row["label"]: row["threshold"] for row in version["per_class"]}
    for row in reply["data"]:
        assert row["outcome"] == "label"
        scores = {score["label"]: score["score"] for score in row["scores"]}
        given = [label for label, score in scores.items() if score >= thresholds[label]]
        assert row["labels"] == given
        assert row["label"] == (given[0] if given else None)
        assert row["score"] == max(scores.values())


def test_the_evaluation_has_every_measure_with_its_interval(http: httpx.Client, path: str) -> None:
    report = good(http.get(f"{path}/versions/1/evaluation"))
    for name in ("accuracy", "micro_f1", "macro_f1", "example_f1", "log_loss", "ece"):
        low, high = report[name]["ci95"]
        assert low <= report[name]["value"] <= high
    assert report["micro_f1"]["value"] > 0.6  # of three labels that words tell apart
    assert {row["label"] for row in report["per_class"]} == set(WORDS)
    assert all(row["support"] == 48 for row in report["per_class"])
    assert report["held_out"] == 96
    card = http.get(f"{path}/versions/1/card").text
    assert "micro F1" in card
    assert "own threshold" in card


def test_relabelling_takes_sets_and_the_audit_tells_of_them(http: httpx.Client, tenant: Tenant) -> None:
    good(http.post("/v1/projects", json={"name": "wrong", "task": "multi_label"}))
    given = samples(160, seed=3)
    flipped: Object = {**given[7], "labels": []}
    tenant.adapt("wrong", [*given[:7], flipped, *given[8:]])
    base = "/v1/projects/wrong"
    found = good(http.get(f"{base}/versions/1/audit", params={"code": "label_suspect"}))["data"]
    TypeAdapter(list[FindingReply]).validate_python(found)
    assert {member for finding in found for member in finding} <= FindingReply.__annotations__.keys()
    wrong = listed(http, f"{base}/samples")[7]
    assert wrong["labels"] == []
    mine = next(finding for finding in found if finding["sample"] == wrong["id"])
    assert mine["labels"] == []
    assert mine["suggested_labels"]
    assert mine["state"] == "open"
    row: Object = {"sample": wrong["id"], "action": "relabel", "labels": given[7]["labels"], "expected_labels": []}
    assert good(http.post(f"{base}/audit/fixes", json={"fixes": [row]}))["applied"] == 1
    assert good(http.get(f"{base}/samples/{wrong['id']}"))["labels"] == sorted(given[7]["labels"])
    again = good(http.get(f"{base}/versions/1/audit", params={"code": "label_suspect"}))["data"]
    assert next(one for one in again if one["sample"] == wrong["id"])["state"] == "relabelled"
    put = http.put(f"{base}/samples/{wrong['id']}/label", json={"label": ["billing"]})
    assert good(put)["labels"] == ["billing"]


def test_a_second_version_is_compared_by_sets(http: httpx.Client, tenant: Tenant, path: str) -> None:
    reply = tenant.adapt("several", samples(24, seed=1))
    gate = reply["adaptation"]["gate"]
    assert gate["rows"] == 96
    assert {row["label"] for row in gate["per_class"]} == set(WORDS)
    assert "points of F1" in gate["reason"]


def test_methods_that_learn_one_label_a_sample_are_refused(http: httpx.Client, path: str) -> None:
    for method in ("zero_shot", "partial", "full"):
        problem = refused(http.post(f"{path}/adaptations", json={"method": method}), 422, "method_unavailable")
        assert "head and lora" in problem["detail"]
    planned = good(http.post(f"{path}/adaptations", json={"dry_run": True}))["plan"]
    assert planned["chosen"] == "head"
    skipped = {one["method"]: one.get("skipped") for one in planned["candidates"]}
    assert skipped["head"] is None
    assert "head and lora" not in skipped["lora"]  # this service has no trainer, which is another reason


def test_too_little_is_refused_with_have_and_need_and_a_thin_label_left_out(http: httpx.Client, tenant: Tenant) -> None:
    good(http.post("/v1/projects", json={"name": "thin", "task": "multi_label", "labels": [{"name": "a"}]}))
    rows = [{"input": f"pay {word}", "labels": ["a"]} for word in FILLING]
    body = {"project": "thin", "samples": rows}
    problem = refused(http.post("/adapt", json=body), 422, "too_few_samples")
    assert "need 1" in problem["detail"]
    more = [{"input": f"late {word}", "labels": ["b"] if word == "the" else []} for word in FILLING]
    reply = tenant.adapt("thin", [*rows, *more])
    assert any("1 labels are left out" in reason for reason in reply["adaptation"]["plan"]["reasons"])
    report = good(http.get("/v1/projects/thin/versions/1/evaluation"))
    assert report["left_out"] == ["b"]
    assert [row["label"] for row in report["per_class"]] == ["a"]


def test_sets_that_are_not_sure_enough_for_the_promised_precision_are_not_answered(
    http: httpx.Client, tenant: Tenant, tmp_path: Path
) -> None:
    policy = {"abstain": {"target_precision": PRECISION}}
    good(http.post("/v1/projects", json={"name": "sure", "task": "multi_label", "policy": policy}))
    tenant.adapt("sure", samples(240, seed=7))
    report = good(http.get("/v1/projects/sure/versions/1/evaluation"))
    (below,) = [one["threshold"] for one in report["thresholds"] if one["precision"] == PRECISION]
    asked = [row["input"] for row in samples(64, seed=8)]
    answers = good(http.post("/v1/projects/sure/predict", json={"inputs": asked, "top_k": 3}))["data"]
    assert {row["outcome"] for row in answers} == {"label", "abstain"}
    for row in answers:
        assert (row["outcome"] == "abstain") == (row["set_score"] < below)
        told = [one["score"] if one["label"] in row["labels"] else 1 - one["score"] for one in row["scores"]]
        if row["outcome"] == "label":
            assert row["set_score"] == pytest.approx(float(np.prod(told)), abs=1e-5)
        else:
            assert (row["label"], row["labels"]) == (None, [])
    card = http.get("/v1/projects/sure/versions/1/card").text
    assert f"precision of {PRECISION:g} was not shown" in card
    lines = exported(http, "/v1/projects/sure", tmp_path, asked)
    for line, row in zip(lines, answers, strict=True):
        assert line["set_score"] == pytest.approx(row["set_score"], abs=1e-4)
        if abs(row["set_score"] - below) > 1e-3:
            assert (line["outcome"], line["labels"]) == (row["outcome"], row["labels"])


def test_the_export_answers_as_the_service_does(http: httpx.Client, path: str, tmp_path: Path) -> None:
    texts = ["refund parcel charge late", "the my is please", "thanks great love"]
    lines = exported(http, path, tmp_path, texts)
    served = good(http.post(f"{path}/predict", params={"version": 1}, json={"inputs": texts, "top_k": 3}))["data"]
    for line, row in zip(lines, served, strict=True):
        assert (line["outcome"], line["label"], line["labels"]) == ("label", row["label"], row["labels"])
        assert line["score"] == pytest.approx(row["score"], abs=1e-4)


def test_what_is_like_no_sample_is_out_of_scope_once_enough_sets_were_answered_wholly(
    http: httpx.Client, tenant: Tenant, tmp_path: Path
) -> None:
    good(http.post("/v1/projects", json={"name": "wide", "task": "multi_label"}))
    tenant.adapt("wide", samples(1_200, seed=9))
    report = good(http.get("/v1/projects/wide/versions/1/evaluation"))
    assert report["accuracy"]["value"] * report["held_out"] >= 765
    assert report["out_of_scope"]["most_right_lost"] == 0.005
    asked = [row["input"] for row in samples(64, seed=10)]
    known = good(http.post("/v1/projects/wide/predict", json={"inputs": asked}))["data"]
    foreign = ["please " * 40, "weather weather weather weather", "1 2 3 4 5 6 7 8 9 10 11 12 13 14"]
    told = good(http.post("/v1/projects/wide/predict", json={"inputs": foreign}))["data"]
    for row in (*known, *told):
        assert (row["outcome"] == "out_of_scope") == (row["familiarity"] < 0.0)
        assert row["outcome"] == "label" or (row["label"], row["labels"]) == (None, [])
    assert sum(row["outcome"] == "out_of_scope" for row in known) <= 2
    assert "out_of_scope" in {row["outcome"] for row in told}
    assert "Inputs unlike every sample" in http.get("/v1/projects/wide/versions/1/card").text
    for line, row in zip(exported(http, "/v1/projects/wide", tmp_path, foreign), told, strict=True):
        assert (line["outcome"], line["labels"]) == (row["outcome"], row["labels"])
        assert line["familiarity"] == pytest.approx(row["familiarity"], abs=1e-4)


def exported(http: httpx.Client, path: str, folder: Path, texts: list[str]) -> list[Object]:
    """What the exported program says of the texts."""
    export = good(http.post(f"{path}/versions/1/exports", json={"wait_seconds": 60}))
    assert export["status"] == "succeeded", export
    assert export["parity"]["label_agreement"] == 1.0
    content = http.get(f"/v1/exports/{export['id']}/content").content
    zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
    program = [sys.executable, str(folder / "predict.py"), *texts]
    lines = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def client(server: Running, tenant: Tenant) -> Iterator[Client]:
    with Client(server.url, tenant.key) as client:
        yield client


def test_the_client_speaks_of_sets(client: Client) -> None:
    pairs = [(row["input"], row["labels"]) for row in samples(48, seed=5)]
    adapted = client.adapt("by-client", pairs, task="multi_label", wait_seconds=60)
    assert adapted.project.task == "multi_label"
    answer = client.predict("by-client", "refund charge bill")[0]
    assert answer.label == (answer.labels[0] if answer.labels else None)
    first = next(client.samples.list("by-client"))
    assert client.samples.relabel("by-client", first["id"], ["praise", "billing"])["labels"] == ["billing", "praise"]
    assert client.audits.relabel("by-client", {first["id"]: []})["applied"] == 1
