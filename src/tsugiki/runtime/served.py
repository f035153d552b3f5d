"""The backbones this process serves: each loaded when first needed, with its engine, batcher and banks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tsugiki.backbones.sites import linear_shapes
from tsugiki.errors import NotFound, TsugikiError, WrongFeatureSpace
from tsugiki.runtime.admission import Limits
from tsugiki.runtime.banks import Banks, Weight
from tsugiki.runtime.batcher import Batcher, Lane
from tsugiki.runtime.heads import HeadBank
from tsugiki.runtime.loras import LoraBank
from tsugiki.runtime.mending import MendedEngine
from tsugiki.runtime.network import Network
from tsugiki.runtime.once import Once
from tsugiki.runtime.route import OwnNetwork
from tsugiki.runtime.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsugiki.backbones.loaded import Loaded
    from tsugiki.domain import Content, Floats, Version, WeightsDelta
    from tsugiki.observed import Pass
    from tsugiki.ports import Backbone, Engine


CHECK_S = 0.5  # between two looks of a job at whether to go on waiting for its features
LOADERS = 4  # backbones that load at a time because somebody asks


@dataclass(frozen=True, slots=True)
class Served:
    """A backbone in service, by one engine and so in one feature space."""

    loaded: Loaded
    engine: MendedEngine
    batcher: Batcher
    banks: Banks
    turns: Turns

    @property
    def backbone(self) -> Backbone:
        return self.loaded.backbone

    def close(self) -> None:
        self.batcher.close()
        self.engine.close()


MakeEngine: TypeAlias = "Callable[[Loaded, WeightsDelta | None], Engine]"
"""An engine over a backbone, some of its weights replaced or none. Blocks."""


@dataclass(frozen=True, slots=True)
class Engines:
    """How engines are made: `preferred` for new work, `plain` for grafts fitted in fp32 where that is another."""

    preferred: MakeEngine
    plain: MakeEngine


class ServedBackbones:
    """`names` may be served; nothing is loaded before the first `get`. `on_pass` hears of each pass. Thread-safe."""

    def __init__(
        self,
        names: Sequence[str],
        load: Callable[[str], Loaded],
        engines: Engines,
        *,
        workers: int,
        limits: Limits,
        budget: Weight,
        on_pass: Callable[[Pass], None] | None = None,
    ) -> None:
        self.names = tuple(names)
        self._files = Once(load)
        self._workers = workers
        self._limits = limits
        self._budget = budget
        self._on_pass = on_pass
        self._lock = threading.Lock()
        self._failed: dict[str, str] = {}
        self._coming: dict[tuple[str, str], Future[Served]] = {}  # the last load of each backbone and feature space
        self._loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="loading")
        self._served: Once[str, Served] = Once(lambda name: self._serve(name, engines.preferred))
        self._plain: Once[str, Served] = Once(lambda name: self._serve(name, engines.plain))

    @property
    def alive(self) -> bool:
        return all(served.batcher.alive for served in self._all())

    @property
    def answering(self) -> bool:
        """Whether no engine is lost."""
        return all(served.engine.answers for served in self._all())

    @property
    def waiting(self) -> int:
        """Rows queued in all batchers."""
        return sum(served.batcher.waiting for served in self._all())

    @property
    def bank_bytes(self) -> int:
        """Memory of all head banks' pages, used or not."""
        return sum(served.banks.heads.resident_bytes for served in self._all())

    def get(self, name: str) -> Served:
        """Blocks while it loads; a failed load is tried anew by the next call. Raises NotFound, Unavailable."""
        if name not in self.names:
            raise NotFound(f"no backbone is named {name!r}", fix="GET /v1/backbones lists them")
        try:
            served = self._served.get(name)
        except TsugikiError as error:
            self._failed[name] = error.reason
            raise
        self._failed.pop(name, None)
        return served

    def failed(self, name: str) -> str | None:
        """The code of what the last attempt to load it met; None where there was none, or it is loaded."""
        return self._failed.get(name)

    def ready(self, name: str) -> Served | None:
        """The backbone if it is loaded; never blocks."""
        return self._served.ready(name)

    def of(self, version: Version) -> Served:
        """The backbone in the version's own feature space (I8). Blocks while it loads. Raises WrongFeatureSpace."""
        served = self.get(version.backbone)
        if served.backbone.space.id == version.feature_space:
            return served
        if self._files.get(version.backbone).at("fp32").backbone.space.id == version.feature_space:
            return self._plain.get(version.backbone)
        raise WrongFeatureSpace(
            f"version {version.number} was fitted in {version.feature_space}, this service yields "
            f"{served.backbone.space.id} ({served.engine.name}, {served.engine.precision})",
            fix="adapt the project again, or serve with the engine it was fitted with (TSUGIKI_ENGINE)",
        )

    def of_soon(self, version: Version) -> Future[Served]:
        """The same without a thread of the caller's: however many wait for one backbone, one thread loads it."""
        wanted = (version.backbone, version.feature_space)
        with self._lock:
            coming = self._coming.get(wanted)
            if coming is None or coming.done():
                coming = self._coming[wanted] = self._loaders.submit(self.of, version)
        return coming

    def ready_of(self, version: Version) -> Served | None:
        """The same if it is loaded; never blocks."""
        for made in (self._served, self._plain):
            loaded = made.ready(version.backbone)
            if loaded is not None and loaded.backbone.space.id == version.feature_space:
                return loaded
        return None

    def backbone(self, name: str) -> Backbone:
        """The Embedder port's view of `get`."""
        return self.get(name).backbone

    def embed(
        self, tenant_id: str, name: str, contents: Sequence[Content], check: Callable[[], None] = lambda: None
    ) -> Floats:
        """Features of the serving engine for a job, (contents, dim): the Embedder port."""
        served = self.get(name)
        features = np.empty((len(contents), served.backbone.space.dim), np.float32)
        prepared = served.backbone.prepare(contents) if contents else []
        answered = served.batcher.submit(tenant_id, prepared, None, Lane.BULK)
        while wait([answered], CHECK_S).not_done:
            try:
                check()
            except BaseException:
                answered.cancel()  # its rows leave the queue
                raise
        for row, reply in enumerate(answered.result().replies):
            if isinstance(reply, TsugikiError):
                raise reply
            features[row] = reply
        return features

    def close(self) -> None:
        self._loaders.shutdown()
        for served in self._all():
            served.close()

    def _all(self) -> list[Served]:
        return [*self._served.values(), *self._plain.values()]

    def _serve(self, name: str, make: MakeEngine) -> Served:
        files = self._files.get(name)
        probe = [prepared.row for prepared in files.backbone.probe()]
        engine = MendedEngine(lambda: make(files, None), probe, files.backbone.space.dim)

        def own_network(delta: WeightsDelta) -> OwnNetwork:
            own = MendedEngine(lambda: make(files, delta), probe, files.backbone.space.dim)
            return OwnNetwork(own, own.close)

        loaded = files.at(engine.precision)
        space = loaded.backbone.space
        banks = Banks(
            HeadBank(space.id, space.dim),
            LoraBank(lambda: linear_shapes(loaded.graph), engine.bank_type, self._budget.loras),
            engine,
            own_network,
            loaded.graph.stat().st_size,
        )
        limits = replace(self._limits, batch_tokens=max(self._limits.batch_tokens, engine.pass_tokens))
        run = Network(engine, banks).run
        batcher = Batcher(
            run, workers=self._workers, limits=limits, ahead=engine.queues, name=name, on_pass=self._on_pass
        )
        return Served(loaded, engine, batcher, banks, Turns(loaded.backbone.prepare_each))
