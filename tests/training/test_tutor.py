from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.lora import LoraMethod
from tests.adapters.lessons import trainable, training_set
from tsugiki.backbones import Loaded
from tsugiki.training.deadline import Deadline
from tsugiki.training.learner import Aim, Learner
from tsugiki.training.rounds import Part
from tsugiki.training.tutor import Tutor

if TYPE_CHECKING:
    from tsugiki.domain import Floats

BESIDE = 4  # trainings in one process, each in a thread of its own
TIMES = 5


@pytest.mark.parametrize(("counts", "weighed"), [([8, 8, 8], False), ([20, 8, 4], True)])
def test_rare_labels_weigh_more_in_training_and_even_ones_alike(
    tiny: Loaded, monkeypatch: pytest.MonkeyPatch, counts: list[int], weighed: bool
) -> None:
    aims: list[Aim] = []

    class Spy(Learner):
        def __init__(self, *given: Any) -> None:  # Any: as the learner takes them
            aims.extend(one for one in given if isinstance(one, Aim))
            super().__init__(*given)

    monkeypatch.setattr("tsugiki.training.learner.Learner", Spy)
    backbone = trainable(tiny)
    recipe = LoraMethod(epochs=0.1, label_smoothing=0.07)
    tutor = Tutor(backbone, training_set(backbone, counts), recipe, lambda: None)
    rows = np.arange(sum(counts))
    tutor.teach(Part(rows, rows[:0], rows[:0]), recipe.epochs, 1.0, Deadline(None), lambda part: None)
    (aim,) = aims
    assert aim.smoothing == 0.07
    assert (aim.weights is not None) == weighed
    assert aim.weights is None or np.argsort(aim.weights).tolist() == [0, 1, 2]


def test_what_one_training_draws_is_not_another_s(tiny: Loaded) -> None:
    data = training_set(trainable(tiny), [8, 8, 8])

    def drawn(seed: int) -> dict[str, Floats]:
        tutor = Tutor(trainable(tiny), data, LoraMethod(), lambda: None)
        _, attached = tutor._fresh(seed)  # pyright: ignore[reportPrivateUsage]
        (matrices,) = attached.groups
        return {name: matrix.detach().numpy() for name, matrix in matrices.parameters.items()}

    alone = [drawn(seed) for seed in range(BESIDE)]
    turn_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(BESIDE) as pool:
            for _ in range(TIMES):
                together = pool.map(drawn, range(BESIDE))
                for own, found in zip(alone, together, strict=True):
                    assert own.keys() == found.keys()
                    assert all(np.array_equal(own[name], found[name]) for name in own)
    finally:
        sys.setswitchinterval(turn_s)
