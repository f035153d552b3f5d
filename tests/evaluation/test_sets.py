# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# scikit-learn leaves some arguments untyped.
"""Measures of sets of labels beside scikit-learn's, and the gate that compares two versions by them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from tsugiki.domain import HeldOut, tell_labels
from tsugiki.evaluation.gate import decide
from tsugiki.evaluation.pairing import History, pair
from tsugiki.evaluation.sets import evaluate_sets, example_f1, set_scores

LABELS = ("a", "b", "c")
ROWS = 200


def drawn(seed: int = 0) -> tuple[HeldOut, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.uniform(size=(ROWS, 3)) < (0.5, 0.3, 0.2)
    chances = np.clip(0.6 * truth + random.uniform(0, 0.4, size=(ROWS, 3)), 0.01, 0.99).astype(np.float32)
    return HeldOut(np.arange(ROWS), chances, chances > random.uniform(0.3, 0.7, size=(ROWS, 3))), truth


def test_the_measures_are_scikit_learns() -> None:
    held, truth = drawn()
    assert held.answers is not None
    report = evaluate_sets(held, truth, LABELS, np.full(3, 0.5, np.float32), 0)
    for name, average in (("micro_f1", "micro"), ("macro_f1", "macro"), ("example_f1", "samples")):
        theirs = f1_score(truth, held.answers, average=average, zero_division=1.0)  # pyright: ignore[reportArgumentType]
        assert report[name]["value"] == pytest.approx(theirs, abs=1e-6)
        low, high = report[name]["ci95"]
        assert low <= report[name]["value"] <= high
        assert 0.0 < high - low < 0.25
    assert report["accuracy"]["value"] == pytest.approx(float((held.answers == truth).all(axis=1).mean()))
    theirs = np.mean([log_loss(truth[:, label], held.probabilities[:, label]) for label in range(3)])
    assert report["log_loss"]["value"] == pytest.approx(theirs, abs=1e-5)
    assert [row["support"] for row in report["per_class"]] == truth.sum(axis=0).tolist()
    cells = report["confusion"]["per_label"][0]
    assert sum(cells[name] for name in cells if name != "label") == ROWS


def test_how_sure_a_set_is_counts_what_it_leaves_out() -> None:
    chances = np.array([[0.9, 0.2], [0.9, 0.2], [1.0, 0.0], [0.0, 0.0]], np.float32)
    answers = np.array([[True, False], [True, True], [True, False], [True, False]])
    sure = set_scores(chances, answers)
    assert sure[:3].tolist() == pytest.approx([0.72, 0.18, 1.0])
    assert 0.0 < sure[3] < 1e-6  # no rounding makes a mistake impossible


def test_the_curve_is_of_whole_sets_the_surest_first() -> None:
    held, truth = drawn()
    assert held.answers is not None
    report = evaluate_sets(held, truth, LABELS, np.full(3, 0.5, np.float32), 0)
    sure, exact = set_scores(held.probabilities, held.answers), (held.answers == truth).all(axis=1)
    for point in report["risk_coverage"]:
        kept = sure >= point["threshold"]
        assert point["coverage"] == pytest.approx(kept.mean())
        assert point["accuracy"] == pytest.approx(exact[kept].mean())
    assert report["risk_coverage"][-1]["accuracy"] == pytest.approx(report["accuracy"]["value"])
    assert report["risk_coverage"][0]["accuracy"] > report["accuracy"]["value"]
    assert [row["precision"] for row in report["thresholds"]] == [0.8, 0.9, 0.95, 0.99]


def test_two_empty_sets_agree_wholly() -> None:
    truth = np.array([[False, False], [True, False], [True, True]])
    answers = np.array([[False, False], [False, False], [True, False]])
    assert example_f1(truth, answers).tolist() == [1.0, 0.0, pytest.approx(2 / 3)]


def history(truth: np.ndarray, answers: np.ndarray) -> History:
    def told(row: np.ndarray) -> str:
        return tell_labels(label for label, given in zip(LABELS, row, strict=True) if given)

    return History(
        {f"smp_{i}": told(row) for i, row in enumerate(truth)}, {f"smp_{i}": told(row) for i, row in enumerate(answers)}
    )


def test_a_refit_as_good_goes_live_and_one_that_is_worse_does_not() -> None:
    _, truth = drawn()
    live = truth.copy()
    live[:20, 0] ^= True
    candidate = truth.copy()
    candidate[20:40, 0] ^= True
    same = decide(pair(history(truth, live), history(truth, candidate), {}), "head", "head")
    assert same.promoted
    assert same.rows == ROWS
    assert {row["label"] for row in same.per_class} == set(LABELS)
    candidate[40:100] ^= True
    worse = decide(pair(history(truth, live), history(truth, candidate), {}), "head", "head")
    assert not worse.promoted
    assert worse.difference is not None and worse.difference < 0.0
    assert "points of F1" in worse.reason


def test_a_label_that_is_not_found_any_more_holds_a_version_back() -> None:
    _, truth = drawn()
    candidate = truth.copy()
    candidate[:, 2] = False
    candidate[:, :2] = truth[:, :2]
    live = truth.copy()
    live[truth[:, 2], 0] ^= True  # as bad a set, by another label: the mean hides it
    live[~truth[:, 2] & (np.arange(ROWS) % 3 == 0), 0] ^= True
    decision = decide(pair(history(truth, live), history(truth, candidate), {}), "head", "head")
    assert not decision.promoted
    assert decision.reason.startswith("recall of 'c' falls by 100 points")


def test_a_label_taken_from_most_of_its_samples_holds_a_version_back() -> None:
    _, truth = drawn()
    told = truth.copy()
    told[np.flatnonzero(truth[:, 1])[:40], 1] = False
    decision = decide(pair(history(truth, truth), history(told, told), {}), "head", "head")
    assert not decision.promoted
    assert "samples of 'b'" in decision.reason
