from __future__ import annotations

import json

import numpy as np

from tsugiki.domain import HeldOut, Json
from tsugiki.evaluation.report import evaluate


def report(rows: int, classes: int, seed: int = 0) -> Json:
    random = np.random.default_rng(seed)
    truth = np.arange(rows) % classes
    chances = random.random((rows, classes)).astype(np.float32) + np.eye(classes, dtype=np.float32)[truth] * np.float32(
        0.9
    )
    chances /= chances.sum(axis=1, keepdims=True)
    return evaluate(HeldOut(np.arange(rows), chances), truth, [f"label {i}" for i in range(classes)], seed)


def test_a_report_is_plain_json_and_the_same_under_a_seed() -> None:
    once = json.dumps(report(200, 4), allow_nan=False)
    assert once == json.dumps(report(200, 4))
    assert set(json.loads(once)) == {
        "samples", "held_out", "accuracy", "macro_f1", "log_loss", "ece", "majority_baseline", "per_class",
        "confusion", "reliability", "risk_coverage", "thresholds", "holdout", "slices", "out_of_scope",
    }  # fmt: skip


def test_many_labels_list_their_mistakes_only() -> None:
    found = report(404, 101)
    cells = found["confusion"]["cells"]
    assert all(cell["label"] != cell["predicted"] for cell in cells)
    wrong = round(404 * (1 - found["accuracy"]["value"]))
    assert sum(cell["count"] for cell in cells) == wrong > 0
    assert [cell["count"] for cell in cells] == sorted((cell["count"] for cell in cells), reverse=True)


def test_bins_hold_every_row_once() -> None:
    bins = report(200, 4)["reliability"]
    assert len(bins) == 15
    assert sum(b["rows"] for b in bins) == 200


def test_the_frozen_holdout_is_told_apart() -> None:
    truth = np.arange(40) % 2
    chances = np.eye(2, dtype=np.float32)[truth]
    chances[:5] = chances[:5, ::-1]
    held = HeldOut(np.arange(40), chances)
    found = evaluate(held, truth, ["a", "b"], 0, frozen=np.arange(10))
    assert found["holdout"]["samples"] == found["holdout"]["held_out"] == 10
    assert found["holdout"]["accuracy"]["value"] == 0.5
    part = HeldOut(np.arange(5, 40), chances[5:])
    assert evaluate(part, truth, ["a", "b"], 0, frozen=np.arange(10))["holdout"]["held_out"] == 5
    assert evaluate(held, truth, ["a", "b"], 0)["holdout"] is None
