"""What the engine alone does with the same texts on the same cores: the limit that serving is measured against."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.bench.filling import BACKBONE
from tsugiki.runtime.engines.making import Cores, make

if TYPE_CHECKING:
    from service.core import Core
    from tests.bench.serving.bed import Bed
    from tsugiki.domain import InputRow
    from tsugiki.ports import Engine

BATCHES = (8, 16, 32, 64)
TRIES, TRY_S = 3, 1.0  # of each batch size, in turn: others' work on the cores must not choose


def engine(core: Core) -> Engine:
    """One made as the service makes its own: the only place of the bench that knows how."""
    served = core.backbones.get(BACKBONE)
    cores = Cores(core.settings.engine_workers, core.settings.engine_threads)
    return make(served.engine.name, served.loaded, None, cores)


class Limit:
    """The engine in a bare loop: texts tokenised before, sorted by length, the service's number of passes at a time."""

    def __init__(self, bed: Bed) -> None:
        self._engine = engine(bed.core)
        self._workers = bed.core.settings.engine_workers
        prepared = bed.core.backbones.get(BACKBONE).backbone.prepare(bed.texts)
        self._rows: list[InputRow] = sorted((row.row for row in prepared), key=len)
        self.tokens = statistics.fmean(len(row) for row in self._rows)
        self.rounds: list[float] = []
        tries = [{batch: self._measure(batch, TRY_S) for batch in BATCHES} for _ in range(TRIES)]
        self.tried = {batch: statistics.median(rates[batch] for rates in tries) for batch in BATCHES}
        self.batch = max(self.tried, key=lambda batch: self.tried[batch])
        self._seconds = bed.lengths.side_s

    def measure(self) -> float:
        """Texts a second of one round, at the batch size that was the fastest of `BATCHES`."""
        self.rounds.append(self._measure(self.batch, self._seconds))
        return self.rounds[-1]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def told(self) -> str:
        tried = ", ".join(f"{batch}: {rate:.0f}" for batch, rate in self.tried.items())
        passes = f"{self._workers} passes of {self._engine.name} {self._engine.precision} at a time"
        return f"batch size {self.batch} of ({tried}); {passes}; {self.tokens:.1f} tokens"

    def _measure(self, batch: int, seconds: float) -> float:
        """Whole passes over all texts, for `seconds` at least: a part of them would be the short or the long ones."""
        batches = [self._rows[start : start + batch] for start in range(0, len(self._rows), batch)]

        def share(worker: int) -> None:
            for rows in batches[worker :: self._workers]:
                self._engine.run(rows)

        done, started = 0, time.perf_counter()
        with ThreadPoolExecutor(self._workers) as pool:
            while done == 0 or time.perf_counter() - started < seconds:
                list(pool.map(share, range(self._workers)))
                done += len(self._rows)
        return done / (time.perf_counter() - started)
