"""/v1/projects: made, listed, changed, erased."""

from __future__ import annotations

import httpx
import pytest

from tests.service.asking import SAMPLES, Tenant, good, listed, refused


def test_a_project_has_every_field_of_the_contract(http: httpx.Client) -> None:
    wish = {
        "name": "all-fields",
        "modality": "text",
        "task": "single_label",
        "labels": [{"name": "a", "description": "the first"}, {"name": "b"}],
        "backbone": "auto",
        "policy": {
            "adapt": "manual",
            "promote": "manual",
            "abstain": {"target_precision": 0.95},
            "capture": {},
            "quarantine": ["outlier"],
        },
    }
    made = good(http.post("/v1/projects", json=wish))
    assert made["object"] == "project" and made["id"].startswith("proj_") and made["created_at"].endswith("Z")
    assert (made["backbone"], made["backbone_open"]) == ("tiny", True)
    assert made["labels"] == [{"name": "a", "description": "the first"}, {"name": "b", "description": None}]
    assert {name: made[name] for name in ("name", "modality", "task", "policy")} == {
        name: wish[name] for name in ("name", "modality", "task", "policy")
    }
    assert good(http.get(f"/v1/projects/{made['id']}")) == good(http.get("/v1/projects/all-fields")) == made


def test_a_name_alone_is_enough(http: httpx.Client) -> None:
    made = good(http.post("/v1/projects", json={"name": "short"}))
    assert (made["modality"], made["task"], made["labels"]) == ("text", "single_label", [])
    assert made["policy"] == {"adapt": "auto", "promote": "gate", "abstain": None, "capture": {}, "quarantine": []}


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"name": "proj_1"}, "invalid"),
        ({"name": "Support"}, "invalid"),
        ({"name": "../../x"}, "invalid"),
        ({"name": "x", "modality": "video"}, "invalid"),
        ({"name": "x", "modality": "image", "backbone": "tiny"}, "backbone_unsuited"),
        ({"name": "x", "modality": "text", "backbone": "efficientnet-lite0"}, "backbone_unsuited"),
        ({"name": "x", "task": "several"}, "invalid"),
        ({"name": "x", "backbone": "gpt"}, "backbone_unknown"),
        ({"name": "x", "labels": [{"name": "é"}, {"name": "e\u0301"}]}, "label_duplicate"),
        ({"name": "x", "labels": [{"name": " "}]}, "label_empty"),
        ({"name": "x", "policy": {"abstain": {"target_precision": 1}}}, "invalid"),
        ({"name": "x", "policy": {"capture": {"rate": 1}}}, "invalid"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(http: httpx.Client, wish: dict[str, object], code: str) -> None:
    refused(http.post("/v1/projects", json=wish), 422, code)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_labels_by_name_alone_answer_no_files(http: httpx.Client, modality: str) -> None:
    wish = {"name": f"named-{modality}", "modality": modality, "labels": [{"name": "ant"}, {"name": "bee"}]}
    made = good(http.post("/v1/projects", json=wish))
    assert (made["modality"], len(made["labels"])) == (modality, 2)
    asked = {"inputs": [{"base64": "iVBORw0KGgo="}]}
    refused(http.post(f"/v1/projects/{made['id']}/predict", json=asked), 409, "no_version")


def test_a_name_is_free_once_a_tenant(tenant: Tenant, stranger: Tenant) -> None:
    good(tenant.http.post("/v1/projects", json={"name": "taken"}))
    refused(tenant.http.post("/v1/projects", json={"name": "taken"}), 409, "project_exists")
    good(stranger.http.post("/v1/projects", json={"name": "taken"}))


def test_projects_are_listed_in_pages(stranger: Tenant) -> None:
    names = [f"page-{number}" for number in range(5)]
    made = [good(stranger.http.post("/v1/projects", json={"name": name})) for name in names]
    found = [project for project in listed(stranger.http, "/v1/projects") if project["name"] in names]
    assert found == made


def test_a_change_leaves_what_is_left_out(http: httpx.Client) -> None:
    good(http.post("/v1/projects", json={"name": "before", "labels": [{"name": "a"}]}))
    changed = good(http.patch("/v1/projects/before", json={"name": "after", "policy": {"promote": "manual"}}))
    assert (changed["name"], changed["policy"]["promote"], len(changed["labels"])) == ("after", "manual", 1)
    refused(http.get("/v1/projects/before"), 404)
    assert good(http.patch("/v1/projects/after", json={"labels": []}))["labels"] == []
    good(http.post("/v1/projects", json={"name": "other"}))
    refused(http.patch("/v1/projects/other", json={"name": "after"}), 409, "project_exists")


def test_another_backbone_may_be_taken_of_the_modality(http: httpx.Client) -> None:
    good(http.post("/v1/projects", json={"name": "moving"}))
    changed = good(http.patch("/v1/projects/moving", json={"backbone": "minilm-en"}))
    assert (changed["backbone"], changed["backbone_open"]) == ("minilm-en", False)
    refused(http.patch("/v1/projects/moving", json={"backbone": "efficientnet-lite0"}), 422, "backbone_unsuited")
    changed = good(http.patch("/v1/projects/moving", json={"backbone": "auto"}))
    assert (changed["backbone"], changed["backbone_open"]) == ("tiny", True)


def test_an_erased_project_is_gone_with_all_that_was_in_it(stranger: Tenant) -> None:
    before = stranger.usage()
    made = stranger.adapt("gone")
    good(stranger.http.post("/predict", json={"project": "gone", "inputs": ["pay"]}))
    assert stranger.usage()["samples"] == before["samples"] + len(SAMPLES)
    assert good(stranger.http.delete("/v1/projects/gone"), 202)["id"] == made["project"]["id"]
    assert stranger.usage() == before
    for path in ("/v1/projects/gone", f"/v1/adaptations/{made['adaptation']['id']}"):
        refused(stranger.http.get(path), 404)
    refused(stranger.http.post("/predict", json={"project": "gone", "inputs": ["pay"]}), 404)
    refused(stranger.http.delete("/v1/projects/gone"), 404)


def test_a_policy_patch_changes_what_it_names(http: httpx.Client) -> None:
    good(http.post("/v1/projects", json={"name": "careful", "policy": {"promote": "manual"}}))
    changed = good(http.patch("/v1/projects/careful", json={"policy": {"abstain": {"target_precision": 0.9}}}))
    assert changed["policy"]["promote"] == "manual"
    assert changed["policy"]["abstain"] == {"target_precision": 0.9}
