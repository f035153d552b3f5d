from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tsugiki.data.folds import assign_folds


def names(count: int) -> list[str]:
    return [f"g{i}" for i in range(count)]


def test_each_fold_holds_each_classs_share_to_within_one() -> None:
    targets = np.repeat(np.arange(3), [50, 23, 7])
    folds = assign_folds(targets, names(80), seed=0)
    assert folds.max() == 4
    for target in range(3):
        counts = np.bincount(folds[targets == target], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_rows_of_one_group_are_never_separated_and_without_groups_they_are() -> None:
    targets = np.repeat(np.arange(4), 30)
    twins = [f"g{i // 3}" for i in range(120)]
    together = assign_folds(targets, twins, seed=0).reshape(-1, 3)
    assert (together == together[:, :1]).all()
    apart = assign_folds(targets, names(120), seed=0).reshape(-1, 3)
    assert not (apart == apart[:, :1]).all()


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=2, max_size=80), seed=st.integers(0, 9))
def test_the_order_of_rows_does_not_matter(rows: list[tuple[int, int]], seed: int) -> None:
    targets = np.array([target for target, _ in rows])
    groups = [f"g{group}" for _, group in rows]
    order: list[int] = np.random.default_rng(seed).permutation(len(rows)).tolist()
    mixed = assign_folds(targets[order], [groups[i] for i in order], seed)
    assert mixed.tolist() == assign_folds(targets, groups, seed)[order].tolist()


def test_two_samples_a_class_make_two_folds() -> None:
    folds = assign_folds(np.repeat(np.arange(10), 2), names(20), seed=0)
    assert (folds.reshape(-1, 2).sum(axis=1) == 1).all()


def test_one_rare_class_does_not_cost_the_others_their_folds() -> None:
    folds = assign_folds(np.repeat(np.arange(2), [200, 2]), names(202), seed=0)
    assert folds.max() == 4
    assert len(set(folds[-2:].tolist())) == 2


def test_a_class_of_one_group_stays_in_one_fold() -> None:
    targets = np.repeat(np.arange(2), [20, 5])
    folds = assign_folds(targets, names(20) + ["same"] * 5, seed=0)
    assert len(set(folds[20:].tolist())) == 1


def test_another_seed_deals_otherwise() -> None:
    targets = np.repeat(np.arange(2), 50)
    assert (assign_folds(targets, names(100), 0) != assign_folds(targets, names(100), 1)).any()


def test_a_hundred_thousand_rows_are_dealt() -> None:
    targets = np.arange(100_000) % 1_000
    folds = assign_folds(targets, names(100_000), seed=0)
    assert (np.bincount(folds) == 20_000).all()
