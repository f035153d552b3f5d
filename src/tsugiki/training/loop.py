"""The one loop that trains networks: epochs of length-bucketed batches, stopped early, in time, or when asked to."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from tsugiki.training.batches import batch_rows, even_batches, label_batches, length_batches
from tsugiki.training.network import is_picture
from tsugiki.training.schedule import rate_at
from tsugiki.training.temperature import tempered_losses

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints, Prepared
    from tsugiki.training.deadline import Deadline
    from tsugiki.training.objective import Objective

Stopped = Literal["done", "no_better", "deadline", "diverged"]

LOOKS = 12  # at the watched rows in a whole course: a sixth of its time where three epochs are made
PATIENCE = 4  # looks without a better one, a third of the course: while the rate is high, all waver
IN_EARNEST = 0.5  # of the course, before it may be given up: the loss rises while the rate is high, and falls with it
FEWEST_BETWEEN = 5  # steps between two looks; fewer tell little
MOST_WATCHED = 1_000  # rows; their mean log loss is then known to some hundredths of a nat
DIVERGED = 3.0  # times the loss of guessing by chance: a course that is lost, not one that wavers
PROBED_STEPS = 5  # before their time is taken for that of the others; the first ones pay for memory


class Pupil(Protocol):
    """What can be trained; see learner.py."""

    def step(self, batch: Ints, targets: Ints, rate: float) -> float:
        """Learns from samples by index; the loss before. Changes nothing if that is infinite or no number."""
        ...

    def scores(self, batch: Ints) -> Floats:
        """(samples, classes)."""
        ...

    def state(self) -> Any:  # Any: the pupil's own to read
        """A copy of all that was learnt."""
        ...

    def restore(self, state: Any) -> None: ...  # Any: ditto


@dataclass(frozen=True, slots=True)
class Lessons:
    """`rows` of every sample, `targets` (samples,); `train` and `watched` index them.

    With `truths` (kinds, classes) the targets index these: a sample may be of several classes.
    Batches are as the `objective` needs them: of near lengths, of all labels alike, of some rows a label.
    """

    rows: Sequence[Prepared]
    targets: Ints
    train: Ints
    watched: Ints
    classes: int
    truths: Floats | None = None
    objective: Objective = "labels"

    @property
    def chance_loss(self) -> float:
        """Of guessing by chance, in nats a sample."""
        return float(np.log(self.classes)) if self.truths is None else self.classes * float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class Course:
    """How a training went. The learner is left as it was at its best, at `kept` 0..1 of the schedule of `epochs`.

    `losses` of the watched rows, before the first step and at each look; `why` is a sentence where it did not run
    through.
    """

    stopped: Stopped
    kept: float
    epochs: float
    losses: tuple[float, ...]
    steps: int
    seconds: float
    why: str | None


def train(
    learner: Pupil,
    lessons: Lessons,
    epochs: float,
    until: float,
    deadline: Deadline,
    seed: int,
    report: Callable[[float], None],
    check: Callable[[], None],
) -> Course:
    """Trains for `until` of a schedule of `epochs`; fewer if the deadline asks for it, the rate then falls sooner.

    With rows to watch, the best state by their loss is kept, and patience ends a course that gets no better; without,
    the last one is. `check` is called before every batch and raises to stop.
    """
    run = _Run(learner, lessons, epochs, until, deadline, seed)
    return run.through(report, check)


class _Run:
    def __init__(
        self, learner: Pupil, lessons: Lessons, epochs: float, until: float, deadline: Deadline, seed: int
    ) -> None:
        self._learner = learner
        self._lessons = lessons
        self._deadline = deadline
        self._random = np.random.default_rng(seed)
        self._lengths = lengths_of(lessons, lessons.train)
        self._per_epoch = max(1, len(self._epoch(np.random.default_rng(seed))))
        self._wished = self._whole = max(1, round(epochs * self._per_epoch))  # steps of the schedule
        self._until = until
        self._last = round(until * self._whole)  # steps that are made of it, perhaps none
        self._steps = self._looked = 0
        self._told = 0.0
        self._losses: list[float] = []
        self._best: tuple[int, Any] = (0, learner.state())
        self._began = self._started = deadline.clock()

    def through(self, report: Callable[[float], None], check: Callable[[], None]) -> Course:
        self._look(check)
        self._started = self._deadline.clock()  # that look was no step, the pace is of steps and looks between them
        stopped: Stopped = "done"
        for batch in self._batches():
            check()
            self._fit_in()
            if self._steps >= self._last or self._deadline.left_s == 0.0:
                stopped = "deadline" if self._whole < self._wished or self._deadline.left_s == 0.0 else "done"
                break
            loss = self._learner.step(
                self._lessons.train[batch],
                self._lessons.targets[self._lessons.train[batch]],
                rate_at((self._steps + 0.5) / self._whole),
            )
            if not loss < DIVERGED * self._lessons.chance_loss + 1.0:
                stopped = "diverged"
                break
            self._steps += 1
            self._told = max(self._told, min(1.0, self._steps / max(1, self._last)))  # though more time may be found
            report(self._told)
            if self._steps - self._looked >= max(FEWEST_BETWEEN, self._whole // LOOKS) or self._steps == self._last:
                since = self._look(check)
                if since > PATIENCE and self._steps > IN_EARNEST * self._whole:
                    stopped = "no_better"
                    break
        return self._end(stopped)

    def _batches(self) -> Iterator[Ints]:
        while True:
            yield from self._epoch(self._random)

    def _epoch(self, random: np.random.Generator) -> list[Ints]:
        """Batches of all that is trained on, once."""
        match self._lessons.objective:
            case "pairs":
                return even_batches(self._lessons.targets[self._lessons.train], self._lengths, random)
            case "contrast":
                return label_batches(self._lessons.targets[self._lessons.train], self._lengths, random)
            case "labels":
                return length_batches(self._lengths, random, most_rows_of(self._lessons))

    def _look(self, check: Callable[[], None]) -> int:
        """Keeps the state if it is the best so far; how many looks ago the best was."""
        self._looked = self._steps
        if len(self._lessons.watched) == 0:
            self._best = (self._steps, self._learner.state())
            return 0
        self._losses.append(watched_loss(self._learner, self._lessons, check))
        best = int(np.argmin(self._losses))
        if best == len(self._losses) - 1:
            self._best = (self._steps, self._learner.state())
        return len(self._losses) - 1 - best

    def _fit_in(self) -> None:
        """As many steps as the pace so far leaves time for, at most all; the rate falls by what is left of them."""
        if self._deadline.at is None or self._steps < PROBED_STEPS:
            return
        pace_s = (self._deadline.clock() - self._started) / self._steps
        wanted = round(self._until * self._wished)
        self._last = min(wanted, self._steps + int(self._deadline.left_s / pace_s))
        self._whole = max(1, round(self._wished * self._last / max(1, wanted)))

    def _end(self, stopped: Stopped) -> Course:
        if stopped == "deadline" and len(self._lessons.watched) == 0:
            self._best = (self._steps, self._learner.state())
        kept, state = self._best
        self._learner.restore(state)
        return Course(
            stopped=stopped,
            kept=kept / self._whole,
            epochs=self._whole / self._per_epoch,
            losses=tuple(self._losses),
            steps=self._steps,
            seconds=self._deadline.clock() - self._began,
            why=_why(stopped, self._steps, kept),
        )


def lengths_of(lessons: Lessons, samples: Ints) -> list[int]:
    """In tokens; see Prepared."""
    chosen: list[int] = samples.tolist()
    return [lessons.rows[sample].size for sample in chosen]


def most_rows_of(lessons: Lessons) -> int:
    """In a batch."""
    return batch_rows(pictures=is_picture(lessons.rows))


def watched_loss(learner: Pupil, lessons: Lessons, check: Callable[[], None]) -> float:
    """Mean log loss at its best temperature, for the served head is calibrated as well; infinite if it is no number."""
    watched = lessons.watched
    scores = np.empty((len(watched), lessons.classes), np.float32)
    for part in length_batches(lengths_of(lessons, watched), np.random.default_rng(0), most_rows_of(lessons)):
        check()
        scores[part] = learner.scores(watched[part])
    if not np.isfinite(scores).all():
        return float("inf")
    doubt = 1.0 / (len(watched) + 2.0)
    losses = tempered_losses(np.ascontiguousarray(scores.T), lessons.targets[watched], doubt, lessons.truths)
    return float(losses.mean(axis=1).min())


def _why(stopped: Stopped, steps: int, kept: int) -> str | None:
    match stopped:
        case "diverged":
            return f"the loss grew beyond all bounds at step {steps + 1}: what stood after step {kept} was kept"
        case "deadline":
            return f"the time was up after {steps} steps: what stood after step {kept} was kept"
        case "no_better":
            return f"samples held out were answered no better after step {kept}, so it ended at {steps}"
        case "done":
            return None
