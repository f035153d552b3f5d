from __future__ import annotations

import numpy as np
import pytest

from tsugiki.training.batches import BATCH_TOKENS, PAIRED_ROWS, even_batches, length_batches, near_lengths
from tsugiki.training.schedule import WARM_UP, rate_at


def lengths(count: int = 500) -> list[int]:
    return np.random.default_rng(0).geometric(0.06, size=count).clip(3, 512).tolist()


def test_every_row_is_in_one_batch() -> None:
    found = length_batches(lengths(), np.random.default_rng(1), most_rows=32)
    assert sorted(np.concatenate(found).tolist()) == list(range(500))
    assert max(len(batch) for batch in found) == 32


def test_little_is_padding() -> None:
    sizes = np.array(lengths())
    batches = length_batches(sizes.tolist(), np.random.default_rng(1), most_rows=32)
    padded = sum(len(batch) * sizes[batch].max() for batch in batches)
    drawn = np.random.default_rng(1).permutation(500)
    plain = sum(32 * sizes[drawn[start : start + 32]].max() for start in range(0, 480, 32))
    assert padded < 1.3 * sizes.sum() < 0.6 * plain


def test_long_rows_come_in_smaller_batches() -> None:
    found = length_batches([500] * 20, np.random.default_rng(0), most_rows=32)
    assert max(len(batch) for batch in found) == BATCH_TOKENS // 500


def test_a_row_longer_than_a_batch_may_be_is_a_batch() -> None:
    longer = BATCH_TOKENS + 1
    assert [batch.tolist() for batch in length_batches([longer], np.random.default_rng(0))] == [[0]]
    assert [part.tolist() for part in near_lengths([longer, 1, longer])] == [[1], [0], [2]]
    assert near_lengths([]) == []


def test_batches_differ_between_epochs_and_not_between_seeds() -> None:
    random = np.random.default_rng(5)
    first, second = length_batches(lengths(), random), length_batches(lengths(), random)
    again = length_batches(lengths(), np.random.default_rng(5))
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in again]
    assert {tuple(batch) for batch in first} != {tuple(batch) for batch in second}


@pytest.mark.parametrize("counts", [[64, 64], [51, 51], [200, 40, 11], [1, 40], [5]])
def test_every_batch_has_its_share_of_each_label(counts: list[int]) -> None:
    targets = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    found = even_batches(targets, [12] * len(targets), np.random.default_rng(1))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(targets)))
    assert len(found) == max(1, round(len(targets) / PAIRED_ROWS))
    for batch in found:
        shares = np.bincount(targets[batch], minlength=len(counts))
        assert np.abs(shares - np.array(counts) * len(batch) / len(targets)).max() <= 2.0


def test_what_shares_a_batch_of_all_labels_is_drawn() -> None:
    targets = np.repeat(np.arange(3), 30)
    random = np.random.default_rng(5)
    first, second = (even_batches(targets, [12] * 90, random) for _ in range(2))
    again = even_batches(targets, [12] * 90, np.random.default_rng(5))
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in again]
    assert {tuple(sorted(batch)) for batch in first}.isdisjoint(tuple(sorted(batch)) for batch in second)


def test_of_long_rows_fewer_share_a_batch_of_all_labels() -> None:
    found = even_batches(np.repeat(np.arange(2), 40), [512] * 80, np.random.default_rng(0))
    assert max(len(batch) for batch in found) == BATCH_TOKENS // 512


@pytest.mark.parametrize(("progress", "rate"), [(0.0, 0.0), (WARM_UP, 1.0), (1.0, 0.0), (2.0, 0.0)])
def test_the_rate_rises_and_falls_to_nothing(progress: float, rate: float) -> None:
    assert rate_at(progress) == pytest.approx(rate, abs=1e-9)
