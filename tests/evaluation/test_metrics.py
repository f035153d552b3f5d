# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# scikit-learn leaves some arguments untyped.
"""Our measures against scikit-learn's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_recall_fscore_support

from tsugiki.domain import HeldOut
from tsugiki.evaluation.report import evaluate

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

LABELS = tuple("abcdef")


def drawn(rows: int = 300, classes: int = 5, seed: int = 0) -> tuple[Floats, Ints]:
    random = np.random.default_rng(seed)
    truth = np.sort(random.integers(classes, size=rows))
    scores = 2.0 * random.standard_normal((rows, classes)) + 3.0 * np.eye(classes)[truth]
    chances = np.exp(scores)
    return (chances / chances.sum(axis=1, keepdims=True)).astype(np.float32), truth


def test_measures_agree_with_scikit_learn() -> None:
    chances, truth = drawn()
    answered = chances.argmax(axis=1)
    found = evaluate(HeldOut(np.arange(300), chances), truth, LABELS[:5], seed=0)
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(truth, answered))
    assert found["macro_f1"]["value"] == pytest.approx(f1_score(truth, answered, average="macro"))
    assert found["log_loss"]["value"] == pytest.approx(log_loss(truth, chances), rel=1e-5)
    assert found["confusion"]["matrix"] == confusion_matrix(truth, answered).tolist()
    expected = precision_recall_fscore_support(truth, answered)
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [c[name] for c in found["per_class"]] == pytest.approx(np.asarray(column).tolist())


def test_a_class_never_seen_and_never_answered_is_left_out_of_macro_f1() -> None:
    chances, truth = drawn()
    wider = np.concatenate([chances, np.zeros((300, 1), np.float32)], axis=1)
    found = evaluate(HeldOut(np.arange(300), wider), truth, LABELS, seed=0)
    assert found["macro_f1"]["value"] == pytest.approx(f1_score(truth, chances.argmax(axis=1), average="macro"))
    assert found["per_class"][5]["support"] == 0


@pytest.mark.parametrize("measure", ["accuracy", "macro_f1", "log_loss", "ece"])
def test_a_value_lies_inside_its_interval_and_more_rows_narrow_it(measure: str) -> None:
    widths: list[float] = []
    for rows in (100, 3000):
        chances, truth = drawn(rows)
        found = evaluate(HeldOut(np.arange(rows), chances), truth, LABELS[:5], seed=0)[measure]
        low, high = found["ci95"]
        assert 0.0 <= low <= found["value"] <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_nineteen_of_twenty_intervals_of_macro_f1_hold_the_truth() -> None:
    chances, truth = drawn(40_000, seed=9)
    whole = f1_score(truth, chances.argmax(axis=1), average="macro")
    inside = 0
    for i in range(100):
        rows = np.random.default_rng(i).integers(40_000, size=300)
        held_out = HeldOut(np.arange(300), chances[rows])
        low, high = evaluate(held_out, truth[rows], LABELS[:5], seed=i)["macro_f1"]["ci95"]
        inside += low <= whole <= high
    assert inside >= 88


def test_one_row_is_enough_for_a_report() -> None:
    found = evaluate(HeldOut(np.array([1]), np.array([[0.25, 0.75]], np.float32)), np.array([0, 1, 0]), "ab", seed=0)
    assert (found["samples"], found["held_out"]) == (3, 1)
    assert found["accuracy"]["value"] == 1.0
    assert found["majority_baseline"]["label"] == "a"
    assert found["majority_baseline"]["accuracy"]["value"] == 0.0


def test_a_chance_of_zero_for_the_truth_is_a_finite_loss() -> None:
    certain = np.array([[1.0, 0.0]], np.float32)
    assert np.isfinite(evaluate(HeldOut(np.array([0]), certain), np.array([1]), "ab", seed=0)["log_loss"]["value"])
