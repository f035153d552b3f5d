"""From a way to change a network to a graft: trainings, the head on what they yield, and answers that prove both."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsugiki.errors import Invalid, Unavailable
from tsugiki.ports import Trainable
from tsugiki.training.costs import allowed_seconds
from tsugiki.training.deadline import Deadline
from tsugiki.training.degenerate import refuse
from tsugiki.training.effort import plan_effort
from tsugiki.training.fit import Seen, fit_changed_head
from tsugiki.training.fitted import fitted_of
from tsugiki.training.hyperparameters import used
from tsugiki.training.losses import truths_of
from tsugiki.training.rounds import PILOT_SHARE, Part, choose_proof, pilot, proofs
from tsugiki.training.tutor import Taught, Tutor

if TYPE_CHECKING:
    from tsugiki.domain import Budget, Delta, Fitted, Floats, Head, Json, TrainingSet
    from tsugiki.ports import Backbone, Progress
    from tsugiki.training.loop import Course
    from tsugiki.training.objective import Objective
    from tsugiki.training.recipe import Recipe

HEAD_SHARE = 0.05  # of the time, kept free for the head at the end; it is planned to fit into what is left then
UNEVEN = 1.2  # times a training's time before the next one is started: on shared cores no two take the same


def fit_deep(
    recipe: Recipe,
    backbone: Backbone,
    data: TrainingSet,
    budget: Budget,
    progress: Progress,
    objective: Objective = "labels",
) -> Fitted:
    """What `Method.fit` promises, for a method that trains the network by its `recipe`.

    The budget is kept: what is not done in time is left out, the proof on further folds first, then the training on all
    samples, then steps of the training itself. Raises Unavailable where the backbone cannot be trained, Invalid
    (`training_diverged`).
    """
    refuse(backbone, data, recipe.fewest_per_label)
    if not isinstance(backbone, Trainable):
        raise Unavailable(
            f"backbone {backbone.name} cannot be trained in this process",
            fix="ask for method head",
            code="method_unavailable",
        )
    if len(data.rows) != len(data.targets):
        raise AssertionError(f"{len(data.rows)} rows of tokens for {len(data.targets)} samples; this is a bug")
    deadline = Deadline.after(budget.seconds)
    tutor = Tutor(backbone, data, recipe, progress.check, objective)
    allowed_s = allowed_seconds(budget, len(data.targets))
    proof = choose_proof(data.folds, tutor.estimate_s(), allowed_s)
    work = _Work(tutor, data, progress, deadline, HEAD_SHARE * allowed_s)
    found = work.prove_by_folds(recipe.epochs) if proof == "folds" else work.prove_by_half(recipe.epochs)
    left_s = None if budget.seconds is None else deadline.left_s
    named = found.look.names is not None
    effort = plan_effort(len(data.targets), data.features.shape[1], len(data.labels), left_s, named=named)
    fitted = fit_changed_head(
        found.seen,
        found.look.features,
        found.head,
        data.targets,
        data.groups,
        len(data.labels),
        effort,
        progress.phase,
        progress.check,
        truths_of(data),
        found.look.names,
    )
    progress.metric("held_out_log_loss", min(fitted.losses))
    details: Json = {
        **used(recipe),
        **tutor.settled,
        "objective": objective,
        "seed": data.seed,
        "proof": proof,
        "trainings": work.done,
        "served_saw": found.saw,
        # Without its seconds: the same data and seed give the same bytes.
        "course": {name: told for name, told in asdict(found.course).items() if name != "seconds"},
        "strength": fitted.strength,
        "name_weight": fitted.name_weight,
    }
    return fitted_of(recipe.name, data, fitted, details, delta=found.delta)


class _Look(NamedTuple):
    """All samples as a changed network sees them (samples, dim), and what the labels are called (labels, dim)."""

    features: Floats
    names: Floats | None


@dataclass(frozen=True, slots=True)
class _Found:
    """`delta` is to be served, `look` is under it; `course` is of the first training."""

    delta: Delta
    head: Head | None
    look: _Look
    saw: str
    seen: tuple[Seen, ...]
    course: Course


class _Work:
    """Trainings in the order of their worth, as many as there is time for."""

    def __init__(self, tutor: Tutor, data: TrainingSet, progress: Progress, deadline: Deadline, head_s: float) -> None:
        self._tutor = tutor
        self._data = data
        self._progress = progress
        self._deadline = deadline
        self._head_s = head_s
        # Until one is made. Without a deadline nothing depends on it.
        self._features_s = 0.0 if deadline.at is None else UNEVEN * tutor.measure_features_s(deadline.clock)
        self._planned = 1
        self.done = 0

    def prove_by_folds(self, epochs: float) -> _Found:
        folds = proofs(self._data.folds)
        self._planned = len(folds) + 2
        piloted = pilot(self._data.folds, self._data.groups, "folds", watch=self._tutor.learns_a_head)
        first = self._teach(piloted, epochs, 1.0, PILOT_SHARE)
        _refuse_diverged(first.course)
        epochs, until = first.course.epochs, first.course.kept
        taught = self._teach(folds[0], epochs, until)
        look = self._look(taught.delta)
        seen = [_seen(look, folds[0], taught)]
        delta, head, saw = taught.delta, taught.head, "all but a fold"
        one_s = taught.course.seconds
        if self._affords(one_s * len(self._data.targets) / len(folds[0].train)):
            whole = self._teach(self._everything(), epochs, until)
            if whole.course.stopped != "diverged":
                delta, head, saw = whole.delta, whole.head, "all samples"
                look = self._look(delta)
        for part in folds[1:]:
            if not self._affords(one_s):
                break
            taught = self._teach(part, epochs, until)
            seen.append(_seen(self._look(taught.delta), part, taught))
        if len(piloted.held) and self._affords(0.0):  # nothing was chosen by them, so they prove as much as the others
            seen.append(_seen(self._look(first.delta), piloted, first))
        return _Found(delta, head, look, saw, tuple(seen), first.course)

    def prove_by_half(self, epochs: float) -> _Found:
        part = pilot(self._data.folds, self._data.groups, "half", watch=self._tutor.learns_a_head)
        self._planned = 2
        first = self._teach(part, epochs, 1.0)
        _refuse_diverged(first.course)
        look = self._look(first.delta)
        seen = (_seen(look, part, first),)
        if self._affords(first.course.seconds * len(self._data.targets) / len(part.train)):
            whole = self._teach(self._everything(), first.course.epochs, first.course.kept)
            if whole.course.stopped != "diverged":
                return _Found(whole.delta, whole.head, self._look(whole.delta), "all samples", seen, first.course)
        return _Found(first.delta, first.head, look, "all but a fold", seen, first.course)

    def _everything(self) -> Part:
        none = np.zeros(0, np.int64)
        return Part(np.arange(len(self._data.targets)), none, none)

    def _teach(self, part: Part, epochs: float, until: float, share: float = 1.0) -> Taught:
        """Within that share of the time there is for trainings."""

        def report(fraction: float) -> None:
            self._progress.phase("train", min(1.0, (self.done + fraction) / self._planned))

        deadline = self._deadline.before(self._after_s).part(share)
        taught = self._tutor.teach(part, epochs, until, deadline, report)
        self.done += 1
        if taught.course.losses:
            self._progress.metric("watched_log_loss", min(taught.course.losses))
        return taught

    def _look(self, delta: Delta) -> _Look:
        started = self._deadline.clock()
        look = _Look(self._tutor.features(delta), self._tutor.name_features(delta))
        self._features_s = self._deadline.clock() - started
        return look

    @property
    def _after_s(self) -> float:
        """What a training must leave: a look at all samples under it, and the head."""
        return self._features_s + self._head_s

    def _affords(self, training_s: float) -> bool:
        return self._deadline.left_s >= UNEVEN * training_s + self._after_s


def _seen(look: _Look, part: Part, taught: Taught) -> Seen:
    return Seen(look.features, part.train, part.held, taught.head, look.names)


def _refuse_diverged(course: Course) -> None:
    if course.stopped == "diverged" and course.kept == 0.0:
        raise Invalid(
            f"training ended at once: {course.why}",
            fix="train with lower rates, or keep the head",
            code="training_diverged",
        )
