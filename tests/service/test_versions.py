"""Versions: what was published, and what it was shown to be worth."""

from __future__ import annotations

import httpx
import pytest

from tests.service.asking import Object, Tenant, good, listed, refused

ROUNDING = 1e-12  # an interval of all or none ends there


def test_a_version_has_every_field_of_the_contract(http: httpx.Client, support: str) -> None:
    first, second = listed(http, f"{support}/versions")[:2]
    assert (first["version"], second["version"]) == (1, 2)
    assert second == good(http.get(f"{support}/versions/2"))
    assert (second["object"], second["method"], second["backbone"]) == ("version", "head", "tiny")
    assert second["labels"] == ["billing", "delivery", "weather"]
    assert second["feature_space"].startswith("fsp_") and second["snapshot"].startswith("snp_")
    assert len(second["digest"]) == 64 and second["created_at"].endswith("Z")
    assert 0 <= second["metrics"]["accuracy"]["value"] <= 1
    assert second["lineage"]["parent"] == 1 and second["lineage"]["adaptation"].startswith("adp_")


def test_an_evaluation_says_how_sure_each_figure_is(http: httpx.Client, support: str) -> None:
    report = good(http.get(f"{support}/versions/2/evaluation"))
    for name in ("accuracy", "macro_f1", "log_loss", "ece"):
        low, high = report[name]["ci95"]
        assert low <= report[name]["value"] <= high
    assert [row["label"] for row in report["per_class"]] == ["billing", "delivery", "weather"]
    assert report["per_class"][0].keys() >= {"precision", "recall", "f1", "support", "precision_ci95", "f1_ci95"}
    for row in report["per_class"]:
        for name in ("precision", "recall", "f1"):
            assert row[f"{name}_ci95"][0] <= row[name] <= row[f"{name}_ci95"][1] + ROUNDING
    for found in report["reliability"]:
        assert not found["rows"] or found["ci95"][0] <= found["accuracy"] <= found["ci95"][1] + ROUNDING
    assert sum(map(sum, report["confusion"]["matrix"])) == report["held_out"]
    assert report["confusion"]["labels"] == ["billing", "delivery", "weather"]
    assert sum(bin["rows"] for bin in report["reliability"]) == report["held_out"]
    assert all(point.keys() >= {"coverage", "accuracy", "threshold", "ci95"} for point in report["risk_coverage"])
    assert {row["precision"] for row in report["thresholds"]} >= {0.9, 0.95}
    assert 0 < report["majority_baseline"]["accuracy"]["value"] < 1
    assert report["previous_version"]["version"] == 1
    assert good(http.get(f"{support}/versions/1/evaluation"))["previous_version"] is None


def test_a_card_tells_data_worth_and_limits_in_markdown(http: httpx.Client, support: str) -> None:
    reply = http.get(f"{support}/versions/2/card")
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/markdown")
    sections = ("## Data", "## Method", "## Plan", "## Worth", "## Gate", "## Limits", "## Lineage")
    for part in ("# support, version 2", *sections, "| weather |", "| head |", "parent version 1", "It went live: "):
        assert part in reply.text


def test_an_evaluation_names_the_worst_slice_and_the_card_tells_its_figures_only(tenant: Tenant) -> None:
    rows: list[Object] = [
        {
            "input": f"{word} number {n} of {shop}",
            "label": label if shop == "good-shop" or n % 2 else "weather",
            "metadata": {"shop": shop},
        }
        for n in range(24)
        for shop in ("good-shop", "bad-shop")
        for label, word in (("billing", "refund"), ("delivery", "parcel"), ("weather", "rain"))
    ]
    tenant.adapt("sliced", rows)
    report = good(tenant.http.get("/v1/projects/sliced/versions/1/evaluation"))
    assert report["slices"]["compared"] == 2
    worst = report["slices"]["worst"]
    assert (worst["key"], worst["value"], worst["rows"]) == ("shop", "bad-shop", 72)
    assert report["holdout"] is None and report["out_of_scope"] is None
    text = tenant.http.get("/v1/projects/sliced/versions/1/card").text
    assert "of 2 parts of the samples the worst has 72" in text
    assert "shop" not in text and "refund" not in text


def test_a_label_cannot_write_markup_into_a_card(tenant: Tenant) -> None:
    rows: list[Object] = [
        {"input": f"{word} {n}", "label": label}
        for n in range(6)
        for word, label in (("refund", "a | <b>\n# c"), ("parcel", "[x](y)"))
    ]
    tenant.adapt("marked", rows)
    text = tenant.http.get("/v1/projects/marked/versions/1/card").text
    assert "| a \\| \\<b\\> \\# c |" in text and "| \\[x\\](y) |" in text


@pytest.mark.parametrize("part", ["", "/evaluation", "/audit", "/card"])
def test_an_unknown_version_is_not_found(http: httpx.Client, support: str, part: str) -> None:
    refused(http.get(f"{support}/versions/999{part}"), 404, "not_found")
    refused(http.get(f"{support}/versions/0{part}"), 422)
