"""Each finding planted in clean data, and clean data in which there is nothing to find."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.data.audit.planted import CLASSES, PER_CLASS, clean, codes, named
from tsugiki.data.audit import ADVICE, Material, Sets, audit, search
from tsugiki.data.audit.report import MOST_LISTED
from tsugiki.domain import ROW_FINDINGS, HeldOut, Snapshot

ROWS = CLASSES * PER_CLASS


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_in_clean_data(seed: int) -> None:
    report = clean(seed).audit()
    assert (report["findings"], report["summary"]) == ([], {})
    assert (report["samples"], report["held_out"], report["neighbours"]) == (ROWS, ROWS, "exact")


@pytest.mark.parametrize("seed", range(3))
def test_flipped_labels_are_suspected_with_the_right_one_and_with_samples_that_show_it(seed: int) -> None:
    data = clean(seed)
    flipped = np.random.default_rng(seed).permutation(ROWS)[:6]
    targets = data.targets.copy()
    targets[flipped] = (targets[flipped] + 1) % CLASSES
    report = replace(data, targets=targets).audit()
    assert codes(report) == {"label_suspect"}
    # How many there are is an estimate, which may be one short; which, is not.
    assert set(named(report, "label_suspect")) <= set(flipped.tolist())
    assert len(named(report, "label_suspect")) >= len(flipped) - 1
    for found in report["findings"]:
        row = int(found["sample"].removeprefix("smp_"))
        assert found["label"] == f"label {targets[row]}" and found["suggested_label"] == f"label {data.targets[row]}"
        assert 0.5 < found["score"] <= 1 and found["actions"] == ["relabel", "drop", "keep"]
        shown = [int(id.removeprefix("smp_")) for id in found["evidence"]]
        assert shown and all(targets[other] == data.targets[row] for other in shown)


def test_the_same_input_in_other_case_is_an_exact_duplicate_of_the_oldest() -> None:
    data = clean()
    spoilt = data.add(data.features[[3, 3]], [0, 0], [data.groups[3]] * 2)
    report = spoilt.audit()
    assert codes(report) == {"duplicate_exact"}
    assert named(report, "duplicate_exact") == [ROWS, ROWS + 1]
    assert [found["evidence"] for found in report["findings"]] == [["smp_3"], ["smp_3"]]


def test_nearly_the_same_input_is_a_near_duplicate_and_shares_the_fold_of_the_oldest() -> None:
    data = clean()
    nearly = data.features[[3, 50]] + 0.005
    report = data.add(nearly, [0, 1]).audit()
    assert codes(report) == {"duplicate_near"}
    assert named(report, "duplicate_near") == [ROWS, ROWS + 1]
    assert [found["evidence"] for found in report["findings"]] == [["smp_3"], ["smp_50"]]


def test_near_duplicates_that_folds_separate_are_reported_as_leaking() -> None:
    data = clean()
    rows = list(range(12))
    spoilt = data.add(data.features[rows] + 0.005, [0] * len(rows))
    assert "duplicate_across_folds" not in codes(spoilt.audit())
    apart = spoilt.audit(join=False)
    leaking = named(apart, "duplicate_across_folds")
    assert leaking
    by_id = {f["sample"]: f["evidence"] for f in apart["findings"] if f["code"] == "duplicate_across_folds"}
    assert all(by_id[f"smp_{row}"] == [f"smp_{row + ROWS if row < ROWS else row - ROWS}"] for row in leaking)


def test_one_input_with_two_labels_is_a_contradiction_on_both_sides() -> None:
    data = clean()
    same = data.add(data.features[[3]], [2], [data.groups[3]]).audit()
    assert named(same, "duplicate_conflicting_label") == [3, ROWS]
    nearly = data.add(data.features[[3]] + 0.005, [2]).audit()
    assert named(nearly, "duplicate_near_conflicting_label") == [3, ROWS]
    evidence = {f["sample"]: f["evidence"] for f in nearly["findings"] if f["code"].startswith("duplicate_near")}
    assert evidence == {"smp_3": [f"smp_{ROWS}"], f"smp_{ROWS}": ["smp_3"]}


def test_a_row_like_no_other_is_an_outlier() -> None:
    data = clean()
    strange = np.random.default_rng(9).standard_normal((1, data.features.shape[1]), np.float32)
    report = data.add(strange, [1]).audit()
    assert named(report, "outlier") == [ROWS]
    assert next(f["score"] for f in report["findings"] if f["code"] == "outlier") > 0.5


def test_inputs_too_short_to_tell_and_those_cut_off_are_named() -> None:
    data = clean()
    tokens = data.tokens.copy()
    tokens[[5, 6]] = 0, 1  # row 6 is short, and the fits know its label all the same
    report = replace(data, tokens=tokens, truncated=(7,)).audit()
    assert codes(report) == {"input_too_short", "input_truncated"}
    assert (named(report, "input_too_short"), named(report, "input_truncated")) == ([5], [7])


def test_a_short_input_whose_label_is_missed_is_named() -> None:
    data = clean()
    targets = data.targets.copy()
    targets[6] = 2
    tokens = data.tokens.copy()
    tokens[6] = 1
    assert named(replace(data, tokens=tokens, targets=targets).audit(), "input_too_short") == [6]


def test_a_label_with_a_tenth_of_its_share_is_rare() -> None:
    data = clean()
    enough = list(range(ROWS - PER_CLASS + 2))  # the last label keeps two
    spoilt = replace(
        data,
        features=data.features[enough],
        targets=data.targets[enough],
        groups=tuple(data.groups[row] for row in enough),
        tokens=data.tokens[enough],
    )
    report = spoilt.audit()
    (rare,) = [found for found in report["findings"] if found["code"] == "label_rare"]
    assert (rare["sample"], rare["label"], rare["actions"]) == (None, f"label {CLASSES - 1}", [])


def test_a_label_of_a_few_samples_told_again_is_thin() -> None:
    data = clean()
    features = data.features.copy()
    of_label = np.flatnonzero(data.targets == 1)
    again = of_label[np.arange(PER_CLASS) % 5]
    features[of_label] = data.features[again] + 0.03 * np.random.default_rng(2).standard_normal((PER_CLASS, 48))
    report = replace(data, features=features.astype(np.float32)).audit()
    (thin,) = [found for found in report["findings"] if found["code"] == "label_thin"]
    assert thin["label"] == "label 1" and "5 different ones" in thin["detail"] and thin["evidence"]


def test_of_several_labels_a_sample_each_is_weighed_by_all_that_have_it() -> None:
    """A sample in two labels counts for both; a label too rare to be learnt is told as well."""
    data = clean(classes=2)
    features = data.features.copy()
    both = np.flatnonzero(data.targets == 1)
    again = data.features[both[np.arange(PER_CLASS) % 5]]
    features[both] = again + 0.03 * np.random.default_rng(2).standard_normal((PER_CLASS, 48))
    targets = data.targets.copy()
    targets[0] = 2
    snapshot = Snapshot(
        "snp_",
        "proj_",
        tuple(f"smp_{row}" for row in range(len(targets))),
        ("every", "rare", "thin"),
        tuple(targets.tolist()),
        tuple((np.arange(len(targets)) % 5).tolist()),
        tuple(range(len(targets))),
        combinations=((0,), (0, 2), (0, 1)),
    )
    truth = np.stack([np.ones(len(targets), np.bool_), targets == 1], axis=1)
    held_out = HeldOut(np.arange(len(targets)), np.where(truth, 0.9, 0.1).astype(np.float32), truth)
    near = search(features.astype(np.float32))
    material = Material(snapshot, data.groups, near, None, held_out, sets=Sets(("every", "thin"), truth))
    found = [one for one in audit(material)["findings"] if one["code"].startswith("label_") and one["sample"] is None]
    assert [(one["code"], one["label"]) for one in found] == [("label_rare", "rare"), ("label_thin", "thin")]
    assert "5 different ones" in found[1]["detail"]
    assert set(found[1]["evidence"]) < {f"smp_{row}" for row in both}


def test_what_was_kept_is_left_out_and_counted() -> None:
    data = clean()
    spoilt = replace(data, truncated=(7, 8))
    report = spoilt.audit(kept=frozenset({("smp_7", "input_truncated"), ("smp_8", "outlier")}))
    assert named(report, "input_truncated") == [8]
    assert report["summary"] == {"input_truncated": {"found": 1, "listed": 1, "kept": 1}}


def test_more_findings_than_anybody_reads_are_counted() -> None:
    data = clean(per_class=300)
    report = replace(data, truncated=tuple(range(1_100))).audit()
    assert report["summary"]["input_truncated"] == {"found": 1_100, "listed": MOST_LISTED, "kept": 0}
    assert len(named(report, "input_truncated")) == MOST_LISTED


def test_a_report_is_plain_json_and_every_code_has_its_advice() -> None:
    report = replace(clean(), truncated=(7,)).audit()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert set(ROW_FINDINGS) < set(ADVICE)
    assert all(advice.detail and advice.fix for advice in ADVICE.values())


def test_an_audit_of_the_same_rows_finds_the_same() -> None:
    data = clean()
    spoilt = data.add(data.features[[3, 50]] + 0.005, [0, 2])
    assert spoilt.audit() == spoilt.audit()


@pytest.mark.parametrize("per_class", [2, 3])
def test_a_handful_of_samples_is_audited_too(per_class: int) -> None:
    report = clean(classes=2, per_class=per_class).audit()
    assert report["samples"] == 2 * per_class
    assert "outlier" not in codes(report)
