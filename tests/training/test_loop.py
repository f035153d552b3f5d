"""The loop with a learner small enough to know by heart: a softmax on which tokens a row has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tsugiki.domain import Budget, Prepared
from tsugiki.errors import Cancelled
from tsugiki.training.costs import allowed_seconds
from tsugiki.training.deadline import Deadline
from tsugiki.training.loop import LOOKS, Course, Lessons, train, watched_loss
from tsugiki.training.rounds import MOST_WATCHED, choose_proof, pilot, proofs

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

TOKENS, CLASSES = 12, 3


@dataclass(slots=True)
class Counter:
    """Plain gradient descent. `breaks_at`: the step from which on its losses are no numbers."""

    rows: Sequence[Prepared]
    rate: float = 0.03
    breaks_at: int = 1_000_000
    at_step: Callable[[], None] = lambda: None
    weights: Floats = field(default_factory=lambda: np.zeros((CLASSES, TOKENS), np.float32))
    rates: list[float] = field(default_factory=list[float])

    def step(self, batch: Ints, targets: Ints, rate: float) -> float:
        self.at_step()
        self.rates.append(rate)
        if len(self.rates) > self.breaks_at:
            return float("nan")
        scores = self.scores(batch).astype(np.float64)
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        loss = -np.log(np.maximum(chances[np.arange(len(batch)), targets], 1e-30)).mean()
        chances[np.arange(len(batch)), targets] -= 1.0
        self.weights -= np.float32(self.rate * rate / len(batch)) * (chances.T @ self._seen(batch)).astype(np.float32)
        return float(loss)

    def scores(self, batch: Ints) -> Floats:
        return self._seen(batch) @ self.weights.T

    def state(self) -> Floats:
        return self.weights.copy()

    def restore(self, state: Floats) -> None:
        self.weights = state.copy()

    def _seen(self, batch: Ints) -> Floats:
        return np.stack([np.bincount(self.rows[int(row)].row, minlength=TOKENS) for row in batch]).astype(np.float32)


@dataclass(slots=True)
class Clock:
    """Seconds that pass when told."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


def lessons(count: int = 300, *, noise: float = 0.1) -> Lessons:
    """Of a row's three to eight tokens most are its class's; a part of the targets is drawn."""
    random = np.random.default_rng(0)
    targets: Ints = random.integers(0, CLASSES, count)
    sizes: Ints = random.integers(3, 9, count)
    own: Ints = np.arange(TOKENS).reshape(CLASSES, -1)
    rows: list[Prepared] = []
    for target, size in zip(targets, sizes, strict=True):
        other: Ints = random.integers(0, TOKENS, int(size))
        row = np.where(random.random(int(size)) < 0.6, random.choice(own[target], int(size)), other)
        rows.append(Prepared(row, len(row)))
    drawn = random.random(count) < noise
    targets = np.where(drawn, random.integers(0, CLASSES, count), targets)
    held = np.arange(count) % 5 == 0
    return Lessons(rows, targets, np.flatnonzero(~held), np.flatnonzero(held), CLASSES)


def learn(
    pupil: Counter, given: Lessons, *, epochs: float = 6.0, until: float = 1.0, deadline: Deadline | None = None
) -> Course:
    return train(pupil, given, epochs, until, deadline or Deadline(None), 0, lambda part: None, lambda: None)


def test_it_learns_and_keeps_the_best() -> None:
    given = lessons()
    pupil = Counter(given.rows)
    course = learn(pupil, given, epochs=1)
    assert course.stopped == "done"
    assert min(course.losses) < 0.7 * course.losses[0]
    assert watched_loss(pupil, given, lambda: None) == pytest.approx(min(course.losses))
    assert max(pupil.rates) <= 1.0
    assert pupil.rates[-1] < 0.05


def test_what_gets_no_better_is_stopped_early_and_its_best_kept() -> None:
    given = lessons(noise=1.0)
    pupil = Counter(given.rows, rate=0.3)
    course = learn(pupil, given, epochs=60)
    assert course.stopped == "no_better"
    assert course.why is not None
    assert len(course.losses) < LOOKS
    assert watched_loss(pupil, given, lambda: None) == pytest.approx(min(course.losses))


@pytest.mark.parametrize("breaks_at", [0, 20])
def test_what_diverges_is_stopped_with_the_last_good_kept_and_the_reason(breaks_at: int) -> None:
    given = lessons()
    pupil = Counter(given.rows, breaks_at=breaks_at)
    course = learn(pupil, given)
    assert course.stopped == "diverged"
    assert course.why is not None
    assert f"at step {breaks_at + 1}" in course.why
    assert (course.kept > 0) == (breaks_at > 0)
    assert np.isfinite(pupil.weights).all()
    assert watched_loss(pupil, given, lambda: None) == pytest.approx(min(course.losses))


def test_a_loss_that_grows_beyond_bounds_is_divergence_too() -> None:
    given = lessons()
    course = learn(Counter(given.rows, rate=1e6), given)
    assert course.stopped == "diverged"


@pytest.mark.parametrize("budget_s", [3.0, 10.0])
@pytest.mark.parametrize("watched", [True, False])
def test_the_deadline_is_met_with_the_rate_run_down(budget_s: float, watched: bool) -> None:
    given = lessons()
    if not watched:
        given = Lessons(given.rows, given.targets, given.train, given.watched[:0], given.classes)
    clock = Clock()
    pupil = Counter(given.rows, rate=3e-4, at_step=lambda: clock.tick(0.05))
    course = learn(pupil, given, epochs=1_000, deadline=Deadline(budget_s, clock))
    assert course.stopped == "deadline"
    assert 0.8 * budget_s <= clock.now <= 1.1 * budget_s
    assert course.kept > 0.5
    assert course.steps < 10 * course.epochs  # the epochs told are those of the shortened course
    assert pupil.rates[-1] < 0.05
    assert pupil.weights.any()


def test_a_pace_that_slackens_still_meets_the_deadline() -> None:
    given = lessons()
    clock = Clock()
    pupil = Counter(given.rows, rate=0.003)
    pupil.at_step = lambda: clock.tick(0.01 if len(pupil.rates) < 100 else 0.1)
    learn(pupil, given, epochs=1_000, deadline=Deadline(10.0, clock))
    assert clock.now <= 11.0


def test_no_time_is_no_step() -> None:
    given = lessons()
    course = learn(Counter(given.rows), given, deadline=Deadline(0.0, Clock()))
    assert (course.steps, course.kept, course.stopped) == (0, 0.0, "deadline")


def test_a_second_training_ends_where_the_first_one_was_best() -> None:
    given = lessons()
    pupil = Counter(given.rows)
    whole = learn(Counter(given.rows), given, epochs=1)
    part = learn(pupil, given, epochs=1, until=0.5)
    assert whole.stopped == "done"
    assert part.steps == round(0.5 * whole.steps)
    assert pupil.rates[-1] > 0.3
    assert learn(Counter(given.rows), given, until=0.0).steps == 0


def test_it_stops_within_a_batch_of_being_asked() -> None:
    given = lessons()
    pupil = Counter(given.rows)
    asked = False

    def check() -> None:
        if asked:
            raise Cancelled("stopped by the test")

    def ask() -> None:
        nonlocal asked
        asked = len(pupil.rates) >= 4

    pupil.at_step = ask
    with pytest.raises(Cancelled):
        train(pupil, given, 6.0, 1.0, Deadline(None), 0, lambda part: None, check)
    assert len(pupil.rates) == 5


def alone(folds: Ints) -> Ints:
    """Groups of one row each."""
    return np.arange(len(folds))


def test_what_tells_when_to_stop_is_nowhere_near_what_proves_it() -> None:
    """Rows of one group are the same or nearly; the control is a fold by turns, which parts most of them."""
    folds = np.arange(10_000) % 5
    groups = np.arange(10_000) // 10
    part = pilot(folds, groups, "half")
    assert not set(groups[part.watched]) & set(groups[part.held])
    assert len(part.watched) == MOST_WATCHED
    assert len(part.held) > 0
    by_turns = pilot(folds, alone(folds), "half")
    assert set(groups[by_turns.watched]) & set(groups[by_turns.held])
    filled = pilot(folds, np.where(folds == 0, 0, groups), "half")
    assert (len(filled.watched), len(filled.held)) == (0, 2_000), "one group is on one side"


def test_parts_never_judge_what_they_trained_or_stopped_on() -> None:
    folds = np.arange(103) % 5
    for part in (pilot(folds, alone(folds), "half"), *proofs(folds)):
        assert not set(part.held) & (set(part.train) | set(part.watched))
        assert len(part.held) > 0
    large = np.arange(5_000) % 5
    for part in (pilot(large, alone(large), "folds"), pilot(large, alone(large), "half")):
        assert len(part.watched) > 0
        assert not set(part.watched) & (set(part.train) | set(part.held))
    assert len(pilot(folds, alone(folds), "folds").watched) == 0  # too few to tell anything
    judged = np.concatenate([part.held for part in proofs(folds)])
    assert sorted(judged.tolist()) == np.flatnonzero(folds != 4).tolist()
    assert len(pilot(np.zeros(5_000, np.int64), np.arange(5_000), "half").watched) == MOST_WATCHED


def test_however_a_version_is_proven_the_first_fold_judges_it() -> None:
    """From a thousand samples on it is the frozen one; with nothing in common a refit would go live unseen."""
    folds = np.arange(5_000) % 5
    by_folds = np.concatenate([part.held for part in (pilot(folds, alone(folds), "folds"), *proofs(folds))])
    assert set(np.flatnonzero(folds == 0)) <= set(by_folds)
    assert set(pilot(folds, alone(folds), "half").held) <= set(by_folds)
    assert proofs(folds)[0].held.tolist() == np.flatnonzero(folds == 0).tolist(), "before there may be no more time"


def test_small_sets_are_proven_on_folds_and_large_ones_on_one() -> None:
    folds = np.arange(100) % 5
    assert choose_proof(folds, one_s=10.0, allowed_s=600.0) == "folds"
    assert choose_proof(folds, one_s=200.0, allowed_s=600.0) == "half"


def test_there_is_more_time_where_only_all_samples_can_show_a_gain() -> None:
    few, many = allowed_seconds(Budget(), 500), allowed_seconds(Budget(), 5_000)
    assert few > many
    assert choose_proof(np.arange(500) % 5, 150.0, few) == "folds"
    assert choose_proof(np.arange(5_000) % 5, 150.0, many) == "half"
    assert allowed_seconds(Budget(60.0), 500) == 60.0
