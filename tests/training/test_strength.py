from __future__ import annotations

import numpy as np
import pytest

from tsugiki.training.effort import FINE, USUAL_STRENGTH
from tsugiki.training.strength import choose, choose_without, is_settled
from tsugiki.training.temperature import TEMPERATURES, probabilities, refine, tempered_losses

NEUTRAL = TEMPERATURES.index(1.0)


def losses_with_best(place: int, temperature: int, visited: int = len(FINE)) -> np.ndarray:
    near = np.square(np.arange(visited) - place)[:, None] + np.square(np.arange(len(TEMPERATURES)) - temperature)
    return 50.0 * near


def test_much_evidence_overrules_the_prior() -> None:
    choice = choose(losses_with_best(8, 3), FINE)
    assert choice.place == 8
    assert choice.temperature == pytest.approx(TEMPERATURES[3], rel=0.05)


def test_without_evidence_the_usual_is_chosen() -> None:
    choice = choose(np.zeros((len(FINE), len(TEMPERATURES))), FINE)
    assert FINE[choice.place] == USUAL_STRENGTH
    assert choice.temperature == pytest.approx(1.0)


def test_a_block_has_no_say_in_its_own_choice() -> None:
    table = np.stack([losses_with_best(4, 6), losses_with_best(5, 7), losses_with_best(4, 7)], axis=2)
    before = choose_without(table, 0, FINE)
    table[:, :, 0] = losses_with_best(9, 0) * 1e3
    assert choose_without(table, 0, FINE) == before
    assert choose(table.sum(axis=2), FINE) != before  # the control: together it would have had its say


def test_the_path_goes_on_until_every_choice_lies_behind() -> None:
    early, late = losses_with_best(4, 8, visited=7), losses_with_best(6, 8, visited=7)
    assert is_settled(np.stack([early, early], axis=2), FINE)
    assert not is_settled(np.stack([early, late], axis=2), FINE)


def test_losses_at_temperature_one_are_log_losses() -> None:
    scores = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
    targets = np.random.default_rng(1).integers(4, size=50)
    expected = -np.log(probabilities(scores, 1.0)[np.arange(50), targets])
    np.testing.assert_allclose(tempered_losses(scores, targets, 0.0)[NEUTRAL], expected, atol=1e-5)


def test_a_perfect_record_of_few_rows_is_no_certainty() -> None:
    scores = np.where(np.arange(2)[:, None] == np.arange(8) % 2, 4.0, 0.0).astype(np.float32)
    losses = tempered_losses(scores, np.arange(8) % 2, doubt=0.1).sum(axis=1)
    assert probabilities(scores, refine(losses.tolist(), int(losses.argmin()))).max() < 0.95


def test_refining_finds_the_foot_between_two_temperatures() -> None:
    foot = np.log(TEMPERATURES[9]) + 0.1
    losses = np.square(np.log(TEMPERATURES) - foot).tolist()
    assert np.log(refine(losses, 9)) == pytest.approx(foot)
