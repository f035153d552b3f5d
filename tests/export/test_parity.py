import numpy as np
import pytest

from tsugiki.domain import Precision
from tsugiki.errors import ParityMissed
from tsugiki.export.parity import certify

SURE = np.tile(np.array([[0.7, 0.2, 0.1]], np.float32), (100, 1))


def test_equal_answers_are_certified_with_their_figures() -> None:
    parity = certify(SURE + np.float32(5e-5), SURE, "fp32")
    assert (parity.rows, parity.label_agreement, parity.reference) == (100, 1.0, "service")
    assert parity.max_abs_diff == pytest.approx(5e-5, rel=1e-2)


def test_fp32_miss_is_refused_with_its_figures() -> None:
    found = SURE.copy()
    found[7, 2] += 2e-4
    with pytest.raises(ParityMissed, match=r"100 rows: max_abs_diff 2.00e-04, label_agreement 1.0000"):
        certify(found, SURE, "fp32")


def test_a_service_that_rounds_is_met_within_its_rounding_and_no_further() -> None:
    found = SURE + np.array([0.02, -0.02, 0], np.float32)
    with pytest.raises(ParityMissed):
        certify(found, SURE, "fp32")
    assert certify(found, SURE, "fp32", "bf16").max_abs_diff == pytest.approx(0.02, rel=1e-2)
    assert certify(SURE + np.array([0.06, -0.06, 0], np.float32), SURE, "fp32", "int8").label_agreement == 1.0
    with pytest.raises(ParityMissed):
        certify(SURE + np.array([0.06, -0.06, 0], np.float32), SURE, "fp32", "bf16")
    with pytest.raises(ParityMissed):
        certify(found[:, ::-1], SURE, "fp32", "bf16")


def test_another_label_is_no_miss_where_the_reference_is_a_tie() -> None:
    tie = np.array([[0.50001, 0.49999]], np.float32)
    assert certify(tie[:, ::-1], tie, "fp32").label_agreement == 0.0


def test_int8_may_move_probabilities_but_only_three_labels_in_a_hundred() -> None:
    found = np.tile(np.array([[0.5, 0.3, 0.2]], np.float32), (100, 1))
    found[:3] = found[:3, ::-1]
    assert certify(found, SURE, "int8").label_agreement == pytest.approx(0.97)
    found[3] = found[3, ::-1]
    with pytest.raises(ParityMissed, match="label_agreement 0.9600"):
        certify(found, SURE, "int8")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("found", [SURE[:0], SURE[:5], SURE[:, :2], np.full_like(SURE, np.nan)])
def test_nothing_fewer_or_no_numbers_are_misses(precision: Precision, found: np.ndarray) -> None:
    with pytest.raises(ParityMissed):
        certify(found, SURE[: len(found)] if len(found) == 0 else SURE, precision)


def test_single_label_always_agrees() -> None:
    one = np.ones((4, 1), np.float32)
    assert certify(one, one, "fp32").label_agreement == 1.0


def test_a_row_on_the_other_side_of_the_scope_is_another_answer() -> None:
    reference = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, -0.5], [0.7, 0.3, 0.00002]], np.float32)
    near = reference.copy()
    near[2, 2] = -0.00002
    parity = certify(near, reference, "fp32", classes=2)
    assert parity.label_agreement == pytest.approx(2 / 3)
    other = reference.copy()
    other[0, 2] = -0.00002
    with pytest.raises(ParityMissed):
        certify(other, reference, "fp32", classes=2)


def test_a_scope_among_long_features_is_met_within_their_length() -> None:
    reference = np.array([[0.9, 0.1, 20.0], [0.8, 0.2, -20.0]], np.float32)
    found = reference + np.array([0.0, 0.0, 1e-3], np.float32)
    with pytest.raises(ParityMissed):
        certify(found, reference, "fp32", classes=2)
    assert certify(found, reference, "fp32", classes=2, scale=40.0).max_abs_diff == pytest.approx(2.5e-5, rel=0.1)
    with pytest.raises(ParityMissed):
        certify(found, reference, "fp32", classes=2, scale=0.01)
    with pytest.raises(ParityMissed):
        certify(reference[:, [1, 0, 2]], reference, "fp32", classes=2, scale=40.0)
    turned = reference * np.array([1, 1, -1], np.float32)
    with pytest.raises(ParityMissed):
        certify(turned, reference, "fp32", classes=2, scale=40.0)


def test_no_length_of_features_stretches_how_far_a_label_is_above_its_threshold() -> None:
    reference = np.array([[0.9, 0.1, 0.4, -0.4, 20.0]], np.float32)
    found = reference + np.array([0.0, 0.0, 1e-3, 0.0, 0.0], np.float32)
    with pytest.raises(ParityMissed):
        certify(found, reference, "fp32", classes=2, several=True, scale=40.0)
    near = reference + np.array([0.0, 0.0, 0.0, 0.0, 1e-3], np.float32)
    assert certify(near, reference, "fp32", classes=2, several=True, scale=40.0).label_agreement == 1.0
