"""The backbones this process serves: each loaded when first needed, with its batcher and its bank of heads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.errors import NotFound, TsugikiError
from tsugiki.runtime.batcher import Batcher, Lane, Limits
from tsugiki.runtime.heads import HeadBank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsugiki.backbones.loaded import Loaded
    from tsugiki.domain import Floats
    from tsugiki.ports import Backbone, Engine
    from tsugiki.runtime.route import Route


@dataclass(frozen=True, slots=True)
class Served:
    """A backbone in service."""

    loaded: Loaded
    batcher: Batcher
    bank: HeadBank

    @property
    def backbone(self) -> Backbone:
        return self.loaded.backbone


class ServedBackbones:
    """`names` may be served; nothing is loaded before the first `get`. Thread-safe."""

    def __init__(
        self,
        names: Sequence[str],
        load: Callable[[str], Loaded],
        engine_of: Callable[[Loaded], Engine],
        *,
        workers: int,
        limits: Limits,
    ) -> None:
        self.names = tuple(names)
        self._load_files = load
        self._engine_of = engine_of
        self._workers = workers
        self._limits = limits
        self._lock = threading.Lock()
        self._served: dict[str, Future[Served]] = {}

    @property
    def alive(self) -> bool:
        return all(served.batcher.alive for name in self.names if (served := self.ready(name)) is not None)

    @property
    def waiting(self) -> int:
        """Rows queued in all batchers."""
        return sum(served.batcher.waiting for name in self.names if (served := self.ready(name)) is not None)

    @property
    def bank_bytes(self) -> int:
        """Memory of all banks' pages, used or not."""
        return sum(served.bank.resident_bytes for name in self.names if (served := self.ready(name)) is not None)

    def get(self, name: str) -> Served:
        """Blocks while it loads; a failed load is tried anew by the next call. Raises NotFound, Unavailable."""
        if name not in self.names:
            raise NotFound(f"no backbone is named {name!r}", fix="GET /v1/backbones lists them")
        with self._lock:
            future = self._served.get(name)
            mine = future is None
            if future is None:
                future = self._served[name] = Future()
        if mine:
            try:
                future.set_result(self._load(name))
            except BaseException as error:
                with self._lock:
                    del self._served[name]
                future.set_exception(error)
        return future.result()

    def ready(self, name: str) -> Served | None:
        """The backbone if it is loaded; never blocks."""
        future = self._served.get(name)
        return future.result() if future is not None and future.done() and future.exception() is None else None

    def backbone(self, name: str) -> Backbone:
        """The Embedder port's view of `get`."""
        return self.get(name).backbone

    def embed(self, tenant_id: str, name: str, contents: Sequence[str]) -> Floats:
        """Features of the serving engine for a job, (contents, dim): the Embedder port."""
        served = self.get(name)
        features = np.empty((len(contents), served.backbone.space.dim), np.float32)
        prepared = served.backbone.prepare(contents) if contents else []
        replies = served.batcher.submit(tenant_id, [row.ids for row in prepared], None, Lane.BULK).result()
        for row, reply in enumerate(replies):
            if isinstance(reply, TsugikiError):
                raise reply
            features[row] = reply
        return features

    def close(self) -> None:
        for future in self._served.values():
            if future.done() and future.exception() is None:
                future.result().batcher.close()

    def _load(self, name: str) -> Served:
        loaded = self._load_files(name)
        space = loaded.backbone.space
        bank = HeadBank(space.id, space.dim)

        def answer(routes: Sequence[Route | None], features: Floats) -> list[Floats | TsugikiError]:
            return _answer(bank, routes, features)

        batcher = Batcher(self._engine_of(loaded), answer, workers=self._workers, limits=self._limits)
        return Served(loaded, batcher, bank)


def _answer(bank: HeadBank, routes: Sequence[Route | None], features: Floats) -> list[Floats | TsugikiError]:
    """Rows with a route get probabilities, rows without one the feature itself."""
    replies: list[Floats | TsugikiError] = list(features)
    routed = [(row, route) for row, route in enumerate(routes) if route is not None]
    if routed:
        rows = [row for row, _ in routed]
        answers = bank.probabilities([route for _, route in routed], features[rows])
        for row, reply in zip(rows, answers, strict=True):
            replies[row] = reply
    return replies
