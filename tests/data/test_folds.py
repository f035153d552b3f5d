from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tsugiki.data.folds import ENOUGH_GROUPS, HOLDOUT, assign_folds, has_holdout, number_groups, split_in_half


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


@given(groups=st.lists(st.integers(0, 9), max_size=60))
def test_halves_part_no_group_and_differ_by_no_more_than_the_largest(groups: list[int]) -> None:
    names = [f"g{group}" for group in groups]
    halves = split_in_half(number_groups(names))
    sizes = np.bincount(halves, minlength=2)
    if len(set(groups)) > 1:
        assert len(set(zip(names, halves.tolist(), strict=True))) == len(set(groups))
        assert sizes.min() > 0
        assert abs(sizes[0] - sizes[1]) <= max(map(names.count, names))
    else:
        assert sizes[0] - sizes[1] in (0, 1), "one group alone is parted: each half has to be judged by another"


def test_rows_of_their_own_are_halved_by_turns() -> None:
    assert split_in_half(number_groups(["d", "a", "c", "b"])).tolist() == [0, 1, 0, 1]


def test_another_seed_deals_otherwise() -> None:
    targets = np.repeat(np.arange(2), 50)
    assert (assign_folds(targets, names(100), 0) != assign_folds(targets, names(100), 1)).any()


def test_a_hundred_thousand_rows_are_dealt() -> None:
    targets = np.arange(100_000) % 1_000
    counts = np.bincount(assign_folds(targets, names(100_000), seed=0))
    assert abs(counts[HOLDOUT] - 20_000) < 500
    assert counts[1:].max() - counts[1:].min() <= 1


GROUPS = names(ENOUGH_GROUPS)


def held(targets: list[int], groups: list[str], seed: int = 0) -> set[str]:
    folds = assign_folds(np.array(targets), groups, seed)
    return {group for group, fold in zip(groups, folds, strict=True) if fold == HOLDOUT}


def test_a_thousand_groups_freeze_a_holdout_that_no_seed_moves() -> None:
    targets = [i % 7 for i in range(ENOUGH_GROUPS)]
    assert has_holdout(GROUPS)
    assert held(targets, GROUPS, 0) == held(targets, GROUPS, 1)
    assert not has_holdout(GROUPS[1:])
    assert held(targets[1:], GROUPS[1:], 0) != held(targets[1:], GROUPS[1:], 1)
    for target in range(7):
        part = len([g for g in held(targets, GROUPS) if int(g[1:]) % 7 == target]) / (ENOUGH_GROUPS / 7)
        assert 0.1 < part < 0.3


@settings(max_examples=20, deadline=None)
@given(
    more=st.lists(st.tuples(st.integers(0, 3), st.text(max_size=5)), max_size=30),
    gone=st.sets(st.integers(0, 20), max_size=20),
    relabelled=st.dictionaries(st.integers(21, 300), st.integers(0, 3), max_size=30),
)
def test_no_sample_moves_in_or_out_whatever_comes_goes_or_is_relabelled(
    more: list[tuple[int, str]], gone: set[int], relabelled: dict[int, int]
) -> None:
    groups = names(ENOUGH_GROUPS + 20)
    targets = [i % 4 for i in range(len(groups))]
    before = held(targets, groups)
    rows = [(relabelled.get(i, targets[i]), group) for i, group in enumerate(groups) if i not in gone] + more
    after = held([target for target, _ in rows], [group for _, group in rows], seed=3)
    kept = {group for _, group in rows}
    assert after & set(groups) == before & kept


def test_a_class_whose_groups_all_fell_into_the_holdout_is_still_learned() -> None:
    targets = [i % 7 for i in range(ENOUGH_GROUPS)]
    inside = sorted(held(targets, GROUPS))[:2]
    apart = [7 if group in inside else target for group, target in zip(GROUPS, targets, strict=True)]
    assert held(apart, GROUPS) == held(targets, GROUPS) - set(inside)


def test_the_other_folds_stay_two_where_classes_are_small() -> None:
    folds = assign_folds(np.arange(ENOUGH_GROUPS) // 2, GROUPS, seed=0)
    assert folds.max() == 2
