from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from adapters.lora import LoraMethod
from tests.adapters.lessons import trainable, training_set
from tsugiki.backbones import Loaded
from tsugiki.training.tutor import Tutor

if TYPE_CHECKING:
    from tsugiki.domain import Floats

BESIDE = 4  # trainings in one process, each in a thread of its own
TIMES = 5


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
