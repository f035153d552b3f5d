"""An engine that breaks when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tests.runtime.wrapping import Wrapping
from tsugiki.ports import Adapters, Engine

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow


class Breaking(Wrapping):
    """A real engine, and the ways in which one goes wrong."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.fault = ""
        self.prepared: list[tuple[str, ...]] = []
        self.poisonous: Callable[[InputRow], bool] = lambda row: False

    def prepare(self, modules: tuple[str, ...]) -> None:
        self.prepared.append(modules)
        super().prepare(modules)

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        features = super().run(rows, adapters)
        if any(map(self.poisonous, rows)):
            raise RuntimeError("this row breaks the pass, and only it")
        match self.fault:
            case "raises":
                raise RuntimeError("the device is gone")
            case "exits":  # past what a worker expects: its thread ends
                raise SystemExit
            case "nan":
                return np.full_like(features, np.nan)
            case "shape":
                return features[:, 1:]
            case "other":  # seen only by an engine's probe, once something else has gone wrong
                return np.roll(features, 1, axis=1)
            case _:
                return features
