"""One training after another over the same samples: a fresh network each, what never changes computed once."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.labels import mean_of
from tsugiki.domain import Head
from tsugiki.training.costs import ENGINE_S, Size, epoch_seconds, features_seconds
from tsugiki.training.effort import LAST_TOLERANCE, USUAL_STRENGTH
from tsugiki.training.lbfgs import minimise
from tsugiki.training.loop import Course, Lessons, train
from tsugiki.training.losses import loss_of, truths_of
from tsugiki.training.network import ENCODER, Attached, blocks_of, compute_type, device, is_picture, width_of
from tsugiki.training.rotation import principal_axes
from tsugiki.training.softmax import pose

if TYPE_CHECKING:
    import torch

    from tsugiki.domain import Delta, Floats, Ints, TrainingSet
    from tsugiki.ports import Trainable
    from tsugiki.training.deadline import Clock, Deadline
    from tsugiki.training.objective import Objective
    from tsugiki.training.recipe import Recipe
    from tsugiki.training.rounds import Part

IMBALANCED = 2.0  # the largest class over the smallest, from where on classes are weighted
PACED_ROWS = 64  # some passes of the serving engine
LIGHTEST, HEAVIEST = 0.25, 4.0  # of a weight: a class of a hundredth must not outshout the others by a hundred
DRAWING = threading.Lock()  # torch's generator is the whole process's: of trainings beside one another one draws


@dataclass(frozen=True, slots=True)
class Taught:
    """`head` learnt along with the network, None where there was none."""

    delta: Delta
    head: Head | None
    course: Course


class Tutor:
    """`check` raises to stop; it is called before every batch and every pass."""

    def __init__(
        self,
        backbone: Trainable,
        data: TrainingSet,
        recipe: Recipe,
        check: Callable[[], None],
        objective: Objective = "labels",
    ) -> None:
        from tsugiki.training.frozen import compute_below, compute_views

        self._backbone = backbone
        self._data = data
        self._recipe = recipe
        self._objective: Objective = objective
        self._check = check
        self._where = device()
        self._kind = compute_type(self._where)
        network, attached = self._fresh(0)
        encoder = network.get_submodule(ENCODER)
        blocks, first = len(blocks_of(encoder)), attached.first_block
        self.settled = attached.settled
        tokens = sum(row.size for row in data.rows)
        check()
        self._below = None
        if first:
            below = network.to(self._where, self._kind)  # what it trains is above
            if is_picture(data.rows):
                self._below = compute_views(below, data.rows, backbone.space.widths[0], first, check)
            else:
                self._below = compute_below(below, data.rows, width_of(encoder), first, check)
        self._size = Size(tokens, (blocks - first) / blocks, self._below is not None, recipe.weights_too)

    @property
    def learns_a_head(self) -> bool:
        """Along with the network."""
        return self._objective == "labels"

    def estimate_s(self) -> float:
        """Of one training and a look at all samples through the serving engine."""
        rates = self._backbone.rates
        return self._recipe.epochs * epoch_seconds(self._size, rates) + features_seconds(self._size, rates)

    def measure_features_s(self, clock: Clock) -> float:
        """Of that look alone, from a few samples: it is made by another engine than training, at its own pace."""
        rows = self._data.rows
        few = [rows[row] for row in np.linspace(0, len(rows) - 1, PACED_ROWS).astype(np.int64).tolist()]
        started = clock()
        self._backbone.features(few, None, self._check)
        pace_s = (clock() - started) / sum(row.size for row in few)
        return ENGINE_S + pace_s * self._size.tokens

    def teach(
        self, part: Part, epochs: float, until: float, deadline: Deadline, report: Callable[[float], None]
    ) -> Taught:
        """Raises what `check` raises."""
        from tsugiki.training.learner import Aim, Learner

        data, recipe = self._data, self._recipe
        network, attached = self._fresh(data.seed)
        head = self._first_head(part.train)
        weights = None
        if data.combinations is None:
            weights = class_weights(data.targets[part.train], len(data.labels))
        aim = Aim(
            recipe.label_smoothing, weights, recipe.head_learning_rate, truths_of(data), data.seed, self._objective
        )
        self._check()
        learner = Learner(network, attached, data.rows, self._below, head, aim, self._where, self._kind)
        lessons = Lessons(
            data.rows, data.targets, part.train, part.watched, len(data.labels), truths_of(data), self._objective
        )
        course = train(learner, lessons, epochs, until, deadline, data.seed, report, self._check)
        delta = attached.as_delta(learner.values())
        learnt = Head(*learner.head(), 1.0, data.labels) if self.learns_a_head else None
        return Taught(delta, learnt, course)

    def features(self, delta: Delta) -> Floats:
        """(samples, dim) of the network so changed, as it will serve."""
        return self._backbone.features(self._data.rows, delta, self._check)

    def name_features(self, delta: Delta) -> Floats | None:
        """(labels, dim) of what the labels are called, by the same network; None where that is not to be heard."""
        texts = self._data.name_rows
        if not texts or self.learns_a_head:
            return None
        features = self._backbone.features([row for of_label in texts for row in of_label], delta, self._check)
        parts = np.split(features, np.cumsum([len(of_label) for of_label in texts])[:-1])
        return np.stack([mean_of(list(part)) for part in parts])

    def _fresh(self, seed: int) -> tuple[torch.nn.Module, Attached]:
        import torch

        self._check()
        with DRAWING:  # a network that is made draws as well, before it reads what it is
            network = self._backbone.network()
            self._check()
            with torch.random.fork_rng(devices=[]):  # the process's own generator is nobody's to turn
                torch.manual_seed(seed)
                attached = self._recipe.attach(network.get_submodule(ENCODER))
        return network, attached

    def _first_head(self, train_rows: Ints) -> Head:
        """The head on the unchanged backbone, of the samples that may be seen."""
        data, classes = self._data, len(self._data.labels)
        rotation = principal_axes(data.features[train_rows])
        rows = rotation.apply(data.features[train_rows])
        shares = np.ones((1, len(rows)), np.float32)
        problem = pose(rows, data.targets[train_rows], classes, shares, self._check, truths_of(data))
        found = minimise(problem, loss_of(problem).start(problem), USUAL_STRENGTH, LAST_TOLERANCE)
        weights = rotation.undo(found.weights[0])
        return Head(np.ascontiguousarray(weights[:, :-1]), weights[:, -1].copy(), 1.0, data.labels)


def class_weights(targets: Ints, classes: int) -> Floats | None:
    """(classes,), of mean 1 over the samples: the rarer a class, the heavier. None where all are about alike.

    By the root of how rare, because the whole inverse would trade the common classes' recall for the rare ones'.
    """
    counts = np.bincount(targets, minlength=classes).astype(np.float64)
    present = counts[counts > 0]
    if present.max() <= IMBALANCED * present.min():
        return None
    weights = np.sqrt(present.mean() / np.maximum(counts, 1.0)).clip(LIGHTEST, HEAVIEST)
    return (weights / weights[targets].mean()).astype(np.float32)
