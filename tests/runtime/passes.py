"""An engine whose passes can be held and looked at: what a row's tokens say is what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import EngineName, Prepared
from tsugiki.ports import Adapters, BankType
from tsugiki.runtime.admission import Limits
from tsugiki.runtime.batcher import Batcher, Passed
from tsugiki.runtime.route import Route

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

POISON = 666  # a row that begins so makes its whole pass fail


class Passes:
    """The Engine port: a row's feature is (first token, tokens). `hold` stops every pass before it begins, `gate` one.

    `clock` tells the seconds that passes took at `tokens_per_s`; nothing else moves it.
    """

    def __init__(self) -> None:
        self.seen: list[list[int]] = []  # the first token of each row, pass by pass
        self.at_once: list[list[int]] = []  # those of them that were wanted at once
        self.entered = threading.Semaphore(0)
        self.tokens_per_s = 1_000.0
        self._seconds = 0.0
        self._open = threading.Event()
        self._open.set()
        self._gates: dict[int, threading.Event] = {}

    name: EngineName = "onnxruntime"
    precision = "fp32"
    pass_tokens = 0
    bank_type: BankType = "float32"
    queues = False

    def prepare(self, modules: tuple[str, ...]) -> None:
        """Nothing to do."""

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        self.entered.release()
        self._open.wait()
        if (gate := self._gates.get(int(rows[0][0]))) is not None:
            gate.wait()
        self._seconds += sum(map(len, rows)) / self.tokens_per_s
        self.seen.append([int(row[0]) for row in rows])
        if at_once:
            self.at_once.append(self.seen[-1])
        if any(row[0] == POISON for row in rows):
            raise RuntimeError("the pass failed")
        return np.array([[row[0], len(row)] for row in rows], np.float32)

    def clock(self) -> float:
        return self._seconds

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def gate(self, number: int) -> threading.Event:
        """What the pass waits for whose first row begins with `number`."""
        return self._gates.setdefault(number, threading.Event())


def batcher(
    engine: Passes, *, workers: int = 1, limits: Limits | None = None, ahead: bool = False, express: bool = False
) -> Batcher:
    """A row's reply is its feature. Without the threads beside the workers a held pass holds everybody."""

    def work(rows: Sequence[InputRow], routes: Sequence[Route | None], at_once: bool) -> Passed:
        return list(engine.run(rows, at_once=at_once)), 0.0

    limits = limits or Limits()
    return Batcher(work, workers=workers, limits=limits, ahead=ahead, express=express, clock=engine.clock)


def row(number: int, tokens: int = 8) -> Prepared:
    return Prepared(np.full(tokens, number, np.int64), tokens)
