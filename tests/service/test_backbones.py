"""/v1/backbones: what is installed, and which to take."""

from __future__ import annotations

import httpx
import pytest

from tests.service.asking import good, listed, refused


def test_every_backbone_tells_its_identity(http: httpx.Client) -> None:
    found = {backbone["name"]: backbone for backbone in good(http.get("/v1/backbones"))["data"]}
    assert [backbone["name"] for backbone in listed(http, "/v1/backbones")] == sorted(found)
    tiny = found["tiny"]
    assert tiny["object"] == "backbone" and tiny["modality"] == "text" and tiny["dim"] == 32
    assert tiny["loaded"] is True and tiny["feature_space"].startswith("fsp_")
    assert all(len(backbone["sha256"]) == 64 and backbone["licence"] for backbone in found.values())
    assert "en" in found["minilm-en"]["languages"]


@pytest.mark.parametrize("language", ["en", "EN", "en-GB"])
def test_those_that_know_the_language_come_first_with_reasons(http: httpx.Client, language: str) -> None:
    ranked = good(http.post("/v1/backbones/recommend", json={"modality": "text", "language": language}))["data"]
    assert (ranked[0]["fits"], ranked[0]["reasons"]) == (True, ["its language is stated"])
    assert ranked[0]["name"] == "minilm-en" and all(one["reasons"] for one in ranked)
    refused(http.post("/v1/backbones/recommend", json={"project": "nowhere"}), 404)
    refused(http.post("/v1/backbones/recommend", json={"modality": "smell"}), 422)


def test_what_is_installed_and_not_offered_is_no_choice(http: httpx.Client) -> None:
    assert "use-multilingual" not in {one["name"] for one in good(http.get("/v1/backbones"))["data"]}
    wish = {"name": "chosen", "modality": "text", "backbone": "use-multilingual"}
    refused(http.post("/v1/projects", json=wish), 422, "backbone_unknown")
    good(http.post("/v1/projects", json=wish | {"backbone": "minilm-en"}))


@pytest.mark.parametrize("modality", ["text", "image", "audio"])
def test_those_of_the_modality_are_recommended_and_no_others(http: httpx.Client, modality: str) -> None:
    installed = good(http.get("/v1/backbones"))["data"]
    assert {"minilm-en", "efficientnet-lite0"} <= {one["name"] for one in installed}, "they always come"
    ranked = good(http.post("/v1/backbones/recommend", json={"modality": modality}))["data"]
    fitting = [one["name"] for one in installed if one["modality"] == modality]
    assert sorted(one["name"] for one in ranked) == sorted(fitting)
