"""An engine that is made anew when it breaks, and says so until it answers again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.errors import Unavailable
from tsugiki.observed import OURS
from tsugiki.runtime.engines.probe import MIN_COSINE, min_cosine

if TYPE_CHECKING:
    from tsugiki.domain import EngineName, Floats, InputRow
    from tsugiki.ports import Adapters, BankType, Engine

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0  # between attempts to make it anew


class EngineLost(Unavailable):
    """The engine is being made anew: nothing can be answered now, whichever rows they are."""

    code = "engine_fault"

    def __init__(self) -> None:
        super().__init__("the engine failed and is being started again", fix="try again shortly")


class MendedEngine:
    """The Engine port over engines made by `make`, of which one at a time serves.

    When a pass raises, or returns numbers that no features are, the engine is asked the known rows of `probe`. If it
    answers them as ever, the pass's own rows are at fault and the error is theirs. If not, the engine is lost: passes
    raise EngineLost until another one answers: of the same kind, as what is fitted and loaded for one engine is nothing
    to another; where there is none, only a restart can choose anew. Thread-safe.
    """

    def __init__(self, make: Callable[[], Engine], probe: Sequence[InputRow], dim: int) -> None:
        self._make = make
        self._probe = probe
        self._dim = dim
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._prepared: set[tuple[str, ...]] = set()
        first = make()
        self._expected = self._checked(first, probe, None)
        self._engine: Engine | None = first
        self.name: EngineName = first.name
        self.precision = first.precision
        self.pass_tokens = first.pass_tokens
        self.bank_type: BankType = first.bank_type
        self.queues = first.queues

    @property
    def answers(self) -> bool:
        return self._engine is not None

    def prepare(self, modules: tuple[str, ...]) -> None:
        self._present().prepare(modules)
        self._prepared.add(modules)

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        """Raises EngineLost, and what the rows' own fault raised."""
        engine = self._present()
        try:
            return self._checked(engine, rows, adapters, at_once=at_once)
        except Exception as error:
            if self._answers_as_ever(engine):
                raise
            self._lose(engine, error)
            raise EngineLost from error

    def close(self) -> None:
        """Makes no further engine."""
        self._closed.set()

    def _present(self) -> Engine:
        engine = self._engine
        if engine is None:
            raise EngineLost
        return engine

    def _checked(
        self, engine: Engine, rows: Sequence[InputRow], adapters: Adapters | None, *, at_once: bool = False
    ) -> Floats:
        features = engine.run(rows, adapters, at_once=at_once)
        if features.shape != (len(rows), self._dim) or not np.isfinite(features).all():
            raise Unavailable(f"the engine returned {features.shape} or non-finite features", code="engine_fault")
        return features

    def _alike(self, engine: Engine) -> bool:
        return (engine.name, engine.precision, engine.bank_type) == (self.name, self.precision, self.bank_type)

    def _answers_as_ever(self, engine: Engine) -> bool:
        try:
            found = self._checked(engine, self._probe, None)
        except Exception:
            log.exception("the engine fails on rows that it has answered before")
            return False
        return min_cosine(found, self._expected) >= MIN_COSINE

    def _lose(self, engine: Engine, error: Exception) -> None:
        with self._lock:
            if self._engine is not engine:
                return  # another pass has found it out
            self._engine = None
        log.error("the engine is lost and made anew", exc_info=error)
        threading.Thread(target=self._mend, name="engine-mending", daemon=True).start()

    def _mend(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._closed.is_set():
            try:
                engine = self._make()
                for modules in tuple(self._prepared):
                    engine.prepare(modules)
            except Exception:
                log.exception("the engine cannot be made", extra=OURS)
            else:
                if not self._alike(engine):
                    log.error(
                        "%s %s cannot stand in for %s %s", engine.name, engine.precision, self.name, self.precision
                    )
                elif self._answers_as_ever(engine):
                    self._engine = engine
                    log.warning("the engine answers again")
                    return
            self._closed.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
