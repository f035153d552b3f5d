from __future__ import annotations

import numpy as np
import pytest

from tests.data.audit.planted import PER_CLASS, clean
from tsugiki.data.audit import fold_groups, search
from tsugiki.data.audit.clusters import components
from tsugiki.data.folds import MAX_FOLDS, assign_folds


def test_rows_are_joined_through_others_in_any_order() -> None:
    pairs = np.array([[4, 5], [1, 2], [2, 4], [6, 7]])
    assert components(8, pairs).tolist() == [0, 1, 1, 3, 1, 1, 6, 6]
    assert components(8, pairs[::-1]).tolist() == components(8, pairs).tolist()
    assert components(3, np.zeros((0, 2), np.int64)).tolist() == [0, 1, 2]


def test_near_duplicates_share_a_group_and_the_others_keep_theirs() -> None:
    data = clean()
    spoilt = data.add(data.features[[3, 3, 50]] + 0.005, [0, 0, 1])
    groups = fold_groups(spoilt.groups, spoilt.targets, search(spoilt.features))
    assert groups[3] == groups[-3] == groups[-2] and groups[50] == groups[-1]
    assert len(set(groups)) == len(data.groups)
    assert fold_groups(data.groups, data.targets, search(data.features)) == list(data.groups)


@pytest.mark.parametrize("name", ["", "zz"])
def test_what_is_old_keeps_its_group_whatever_the_new_is_called(name: str) -> None:
    """Else a new near-duplicate would move old rows into the frozen holdout, or out of it."""
    data = clean()
    spoilt = data.add(data.features[[3]] + 0.005, [0], [name])
    groups = fold_groups(spoilt.groups, spoilt.targets, search(spoilt.features))
    assert groups == [*data.groups, data.groups[3]]


def test_a_group_of_equal_texts_is_never_taken_apart() -> None:
    data = clean()
    spoilt = data.add(data.features[[3, 4]] * 0.5 - data.features[[40, 41]], [0, 0], [data.groups[3]] * 2)
    groups = fold_groups(spoilt.groups, spoilt.targets, search(spoilt.features))
    assert groups[3] == groups[-2] == groups[-1]


def test_a_label_is_left_groups_enough_to_be_in_every_fold() -> None:
    data = clean()
    features = data.features.copy()
    features[:PER_CLASS] = features[0] + 0.001 * np.random.default_rng(0).standard_normal(features[:PER_CLASS].shape)
    groups = fold_groups(data.groups, data.targets, search(features.astype(np.float32)))
    assert groups[:PER_CLASS] == list(data.groups[:PER_CLASS])  # one group of them all would starve the label
    folds = assign_folds(data.targets, groups, seed=0)
    assert len(set(folds[:PER_CLASS].tolist())) == MAX_FOLDS


def test_no_group_grows_beyond_a_folds_share() -> None:
    data = clean(classes=2, per_class=50)
    features = data.features.copy()
    features[10:40] = features[10]
    groups = fold_groups(data.groups, data.targets, search(features))
    assert max(groups.count(name) for name in set(groups)) <= len(groups) // MAX_FOLDS
