"""What the service and its trainer are both made of: the stores of one home, and the backbones they serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from adapters.head import HeadMethod
from service.blobs import blobs_of
from service.supervision import end
from tsugiki.backbones.catalog import find, missing, names
from tsugiki.backbones.loaded import Loaded, load
from tsugiki.errors import TsugikiError
from tsugiki.jobs.adapting import Stores
from tsugiki.jobs.choosing import Choosing, Offers
from tsugiki.runtime.admission import Limits
from tsugiki.runtime.banks import Weight
from tsugiki.runtime.engines.making import choose_engine, make
from tsugiki.runtime.served import Engines, ServedBackbones
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.features import Features
from tsugiki.storage.presence import Presence, Present, one_at_a_time
from tsugiki.storage.projects import Projects
from tsugiki.storage.registry import Registry
from tsugiki.storage.samples import Samples

if TYPE_CHECKING:
    from service.settings import Settings
    from tsugiki.backbones.source import Source
    from tsugiki.data.decoding import Decoder
    from tsugiki.domain import Modality, WeightsDelta
    from tsugiki.observed import Pass
    from tsugiki.ports import Embedder, Engine
    from tsugiki.runtime.engines.making import Cores
    from tsugiki.storage.blobs import Blobs
    from tsugiki.storage.database import Database

WORKERS = "workers"  # which processes there are, and what they tell one another


@dataclass(frozen=True, slots=True)
class Parts:
    blobs: Blobs
    projects: Projects
    samples: Samples
    features: Features
    adaptations: Adaptations
    registry: Registry

    def stores(self, database: Database) -> Stores:
        new_snapshot_id = partial(database.ids.new, "snp")
        return Stores(self.adaptations, self.samples, self.features, self.registry, new_snapshot_id)


def open_parts(settings: Settings, database: Database, owner: int, on_move: Callable[[str], None]) -> Parts:
    """As process `owner` uses them."""
    blobs = blobs_of(settings)
    return Parts(
        blobs=blobs,
        projects=Projects(database, blobs),
        samples=Samples(database, blobs),
        features=Features(database),
        adaptations=Adaptations(database, owner),
        registry=Registry(database, blobs, on_move),
    )


def chooser(settings: Settings, parts: Parts, embedder: Embedder, loaded: Callable[[str], bool]) -> Choosing:
    """Candidates are tried by the head; `loaded` as there."""

    @cache  # what is installed stays while a process lives, and every adaptation asks
    def offers(modality: Modality) -> Offers:
        offered = [name for name in names(settings.backbones) if settings.offers(name)]
        found = [source for name in offered if (source := _readable(settings, name)) is not None]
        return Offers(
            {source.name: source.languages for source in found if source.modality == modality},
            {wheel.install: wheel.languages for wheel in missing(modality)},
        )

    return Choosing(parts.projects, parts.samples, parts.features, embedder, HeadMethod(), offers, loaded)


def _readable(settings: Settings, name: str) -> Source | None:
    try:
        return find(name, settings.backbones)
    except TsugikiError:
        return None  # a broken folder: whoever asks for it is told


def among_all(settings: Settings, workers: Presence) -> Present:
    """What tells the processes that share the database apart: `workers` does, of the home, unless it is a server's."""
    if settings.database_url is None:
        return workers
    from tsugiki.storage.sessions import SERVING, SessionPresence

    return SessionPresence(
        settings.database_url.get_secret_value(), SERVING, lambda: end("another process has this one's number")
    )


def weight_of(settings: Settings) -> Weight:
    return Weight(settings.head_bytes, settings.lora_bytes, settings.network_bytes)


def engines_of(settings: Settings, cores: Cores) -> Engines:
    """Of the same engine and precision in every process: the first to need one chooses for all."""

    def preferred(files: Loaded, delta: WeightsDelta | None) -> Engine:
        # Workers that measured beside one another might each find another engine the fastest.
        with one_at_a_time(settings.root / WORKERS / "choice"):
            name = choose_engine(settings.engine, files, cores).name
        return make(name, files, delta, cores)

    return Engines(preferred, lambda files, delta: make("onnxruntime", files, delta, cores))


def serve_backbones(
    settings: Settings,
    engines: Engines,
    workers: int,
    decoder: Decoder,
    hearers: Sequence[Callable[[Pass], None]] = (),
) -> ServedBackbones:
    """`workers` passes at a time, of which all `hearers` are told."""

    def passed(told: Pass) -> None:
        for hear in hearers:
            hear(told)

    return ServedBackbones(
        names(settings.backbones),
        load=lambda name: load(name, settings.backbones, settings.root / "graphs", decoder, settings.graphs),
        engines=engines,
        workers=workers,
        limits=Limits(wait_s=settings.wait_seconds),
        budget=weight_of(settings),
        on_pass=passed,
    )
