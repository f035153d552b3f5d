"""An engine whose passes can be held and looked at: what a row's ids say is what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.runtime.batcher import Batcher, Limits
from tsugiki.runtime.route import Route

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats
    from tsugiki.errors import TsugikiError

POISON = 666  # a row that begins so makes its whole pass fail


class Passes:
    """The Engine port: a row's feature is (first token, tokens). `held` stops every pass before it begins."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []  # the first token of each row, pass by pass
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()
        self._open.set()

    def run(self, rows: Sequence[NDArray[np.int64]]) -> Floats:
        self.entered.release()
        self._open.wait()
        self.seen.append([int(row[0]) for row in rows])
        if any(row[0] == POISON for row in rows):
            raise RuntimeError("the pass failed")
        return np.array([[row[0], len(row)] for row in rows], np.float32)

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()


def features_as_they_are(routes: Sequence[Route | None], features: Floats) -> Sequence[Floats | TsugikiError]:
    return list(features)


def batcher(engine: Passes, *, workers: int = 1, limits: Limits | None = None) -> Batcher:
    return Batcher(engine, features_as_they_are, workers=workers, limits=limits or Limits())


def row(number: int, tokens: int = 8) -> NDArray[np.int64]:
    return np.full(tokens, number, np.int64)
