"""Passes of a single row, for libraries that prepare a model anew whenever a pass has another shape than the last."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tsugiki.observed import OURS
from tsugiki.runtime.priority import stand_back

if TYPE_CHECKING:
    from tsugiki.domain import Floats

log = logging.getLogger(__name__)

EVERY = 8  # positions: a row alone is made as long as the next multiple, so that few lengths are met
MODELS = 4  # banking77's texts are of four such lengths; each model costs the memory of the weights


class Model(Protocol):
    def run(self, inputs: dict[str, Any]) -> Floats: ...  # Any: arrays


Shape = tuple[int, ...]


class LoneRows:
    """Models that each last ran a row of one shape, and run the next one of that shape unprepared.

    Of a text's 3.5 ms in OpenVINO preparing was 1.2. A model is made, in the background, when a shape is met that none
    has, until there are `MODELS`; from then on the one that has had nothing to do for longest takes what is new. Where
    none is to be had the row is for the model of all other passes. Thread-safe.
    """

    def __init__(self, make: Callable[[], Model]) -> None:
        self._make: Callable[[], Model] | None = make  # None once no more are to be made
        self._lock = threading.Lock()
        self._idle: list[tuple[Shape, Model]] = []  # who ran last is last
        self._made = 0
        self._making = False

    def run(self, inputs: dict[str, Any]) -> Floats | None:
        """None where no model is to be had. Raises what the model raises, which is then not asked again."""
        shape: Shape = next(iter(inputs.values())).shape
        model = self._taken(shape, inputs)
        if model is None:
            return None
        features = model.run(inputs)
        with self._lock:
            self._idle.append((shape, model))
        return features

    def _taken(self, shape: Shape, inputs: dict[str, Any]) -> Model | None:
        with self._lock:
            for place, (last, model) in enumerate(self._idle):
                if last == shape:
                    del self._idle[place]
                    return model
            if self._make is None:
                return self._idle.pop(0)[1] if self._idle else None
            if not self._making:
                self._making = True
                # Waited for at the end of the process: a library that is ended in the middle of its work may crash.
                threading.Thread(target=self._grow, args=(self._make, shape, inputs), name="engine-lone").start()
            return None

    def _grow(self, make: Callable[[], Model], shape: Shape, inputs: dict[str, Any]) -> None:
        stand_back()
        model: Model | None = None
        try:
            made = make()
            made.run(inputs)  # lays out the weights
            model = made
        except Exception:  # rows are answered without it
            log.exception("a model for rows that come alone cannot be made", extra=OURS)
        with self._lock:
            self._making = False
            if model is not None:
                self._idle.append((shape, model))
                self._made += 1
            if model is None or self._made == MODELS:
                self._make = None
