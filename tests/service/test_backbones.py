"""/v1/backbones: what is installed, and which to take."""

from __future__ import annotations

import httpx

from tests.service.asking import good, refused


def test_every_backbone_tells_its_identity(http: httpx.Client) -> None:
    found = {backbone["name"]: backbone for backbone in good(http.get("/v1/backbones"))["data"]}
    tiny = found["tiny"]
    assert tiny["object"] == "backbone" and tiny["modality"] == "text" and tiny["dim"] == 32
    assert tiny["loaded"] is True and tiny["feature_space"].startswith("fsp_")
    assert all(len(backbone["sha256"]) == 64 and backbone["licence"] for backbone in found.values())
    assert "en" in found["minilm-en"]["languages"]


def test_those_that_know_the_language_come_first_with_reasons(http: httpx.Client) -> None:
    ranked = good(http.post("/v1/backbones/recommend", json={"modality": "text", "language": "en"}))["data"]
    assert ranked[0]["name"] == "minilm-en" and all(one["reasons"] for one in ranked)
    assert good(http.post("/v1/backbones/recommend", json={"modality": "audio"}))["data"] == []
    refused(http.post("/v1/backbones/recommend", json={"project": "nowhere"}), 404)
    refused(http.post("/v1/backbones/recommend", json={"modality": "smell"}), 422)
