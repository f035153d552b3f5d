"""The running core: everything a route may use, whether it is ready, and how it ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsugiki.backbones.catalog import find
from tsugiki.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.auth import Doorkeeper
    from service.board import Board
    from service.clerks import Clerks
    from service.keeping import Keeper
    from service.settings import Settings
    from service.streams import Streams
    from service.traces import Traces
    from tsugiki.data.decoding.pool import DecoderPool
    from tsugiki.domain import Modality
    from tsugiki.jobs.deep_lane import DeepLane
    from tsugiki.jobs.exporting import Exporting
    from tsugiki.jobs.fast_lane import FastLane
    from tsugiki.jobs.taking_up import TakingUp
    from tsugiki.jobs.upkeep import Upkeep
    from tsugiki.monitoring import Metrics
    from tsugiki.ports import Method
    from tsugiki.runtime.directory import Directory
    from tsugiki.runtime.predictor import Predictor
    from tsugiki.runtime.residency import Residency
    from tsugiki.runtime.served import ServedBackbones
    from tsugiki.runtime.shares import Shares
    from tsugiki.storage.adaptations import Adaptations
    from tsugiki.storage.blobs import Blobs
    from tsugiki.storage.changes import Watcher
    from tsugiki.storage.database import Database
    from tsugiki.storage.exports import Exports
    from tsugiki.storage.idempotency import Idempotency
    from tsugiki.storage.presence import Presence, Present
    from tsugiki.storage.projects import Projects
    from tsugiki.storage.registry import Registry
    from tsugiki.storage.samples import Samples
    from tsugiki.storage.tenants import Tenants


@dataclass(frozen=True, slots=True)
class Core:
    """Everything a route may use."""

    settings: Settings
    methods: Sequence[Method]  # from cheap to dear; without a trainer the deep ones say so
    database: Database
    tenants: Tenants
    door: Doorkeeper
    clerks: Clerks
    shares: Shares
    projects: Projects
    samples: Samples
    adaptations: Adaptations
    registry: Registry
    exports: Exports
    idempotency: Idempotency
    blobs: Blobs
    backbones: ServedBackbones
    decoder: DecoderPool
    directory: Directory
    residency: Residency
    predictor: Predictor
    fast_lane: FastLane
    deep_lane: DeepLane
    streams: Streams
    keeper: Keeper | None  # None where no trainer is wanted here
    exporting: Exporting
    taking_up: TakingUp
    upkeep: Upkeep
    metrics: Metrics
    traces: Traces | None  # None where nobody takes them
    workers: Presence  # of this home
    presence: Present  # of the database
    watcher: Watcher | None  # None where nobody else can change anything
    board: Board | None  # None where there are no other processes' metrics
    draining: threading.Event

    @property
    def several(self) -> bool:
        """Whether other processes serve the same database."""
        return self.settings.workers > 1 or self.settings.database_url is not None

    @property
    def offered(self) -> tuple[str, ...]:
        """The backbones that a project may be given."""
        return tuple(name for name in self.backbones.names if self.settings.offers(name))

    def why_not_ready(self) -> str | None:
        """None when a prediction would be answered now."""
        if self.draining.is_set():
            return "draining"
        if self.backbones.ready(self.settings.text_backbone) is None:
            failed = self.backbones.failed(self.settings.text_backbone)
            return f"the backbone cannot be loaded ({failed}), see the log" if failed else "loading the backbone"
        if not self.backbones.answering:
            return "an engine failed and is being started again"
        return None

    def backbone_for(self, modality: Modality, wanted: str) -> str:
        """The backbone a new project of the modality gets. Raises Invalid, Unavailable where it is not installed."""
        name = self.settings.default_backbone(modality) if wanted == "auto" else wanted
        if name not in self.offered:
            raise Invalid(
                f"no backbone is called {name!r}; there are: {', '.join(self.offered)}", code="backbone_unknown"
            )
        source = find(name, self.settings.backbones)
        if source.modality != modality:
            raise Invalid(
                f"backbone {name!r} reads {source.modality}, the project is of {modality}",
                code="backbone_unsuited",
                fix="name one of the modality, or auto",
            )
        return name

    def exposition(self) -> bytes:
        """Prometheus text of all workers."""
        return self.metrics.exposition() if self.board is None else self.board.exposition()

    def close(self) -> None:
        """Stop taking work, finish what runs, let go of everything."""
        self.draining.set()
        if self.keeper is not None:
            self.keeper.close()
        self.taking_up.close()
        self.fast_lane.close()
        self.exporting.close()
        self.upkeep.close()
        self.clerks.close()
        if self.watcher is not None:
            self.watcher.close()
        if self.board is not None:
            self.board.close()
        self.predictor.close()
        self.residency.close()
        self.backbones.close()
        self.decoder.close()
        self.presence.close()
        if self.presence is not self.workers:
            self.workers.close()
        self.database.close()
        if self.traces is not None:
            self.traces.close()
