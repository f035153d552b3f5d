"""Composition root: settings in, a running core out. Concrete things meet here and nowhere else."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from adapters import METHODS
from adapters.selection import plan
from service.auth import Doorkeeper
from service.board import Board
from service.bootstrap import bootstrap
from service.clerks import Clerks
from service.core import Core
from service.gauges import gauges_of
from service.interpreter import giving_way
from service.keeping import PAUSES_S, TRAINER, Keeper
from service.parts import WORKERS, among_all, chooser, engines_of, open_parts, serve_backbones, weight_of
from service.settings import Settings
from service.streams import Streams
from service.supervision import end
from service.traces import open_traces
from tsugiki.data.audit import confident
from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.domain import Rates
from tsugiki.errors import OutOfMemory, TsugikiError
from tsugiki.jobs.adapting import Tools
from tsugiki.jobs.deep_lane import DEEP, DeepLane, Untrained
from tsugiki.jobs.exporting import Built, Exporting, ExportStores
from tsugiki.jobs.fast_lane import FastLane
from tsugiki.jobs.memory import OOM_COUNTERS
from tsugiki.jobs.staging import clear_work
from tsugiki.jobs.taking_up import TakingUp
from tsugiki.jobs.upkeep import Upkeep
from tsugiki.monitoring import Metrics
from tsugiki.observed import OURS, UNTRACED
from tsugiki.ports import Method
from tsugiki.runtime.directory import Directory
from tsugiki.runtime.engines.making import Cores
from tsugiki.runtime.predictor import Predictor
from tsugiki.runtime.residency import Residency
from tsugiki.runtime.served import ServedBackbones
from tsugiki.runtime.shares import Shares
from tsugiki.storage.changes import Change, Changes, Watcher
from tsugiki.storage.database import Database
from tsugiki.storage.exports import Exports
from tsugiki.storage.idempotency import Idempotency
from tsugiki.storage.presence import TRAINER as TRAINER_OWNER
from tsugiki.storage.presence import Presence
from tsugiki.storage.tenants import Tenants
from tsugiki.training.rates import rates_file, read_rates

log = logging.getLogger("tsugiki")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0  # between attempts to load the default backbone
KILLED_FOR_MEMORY = {"text": "the trainer was ended: memory had run out", "code": OutOfMemory.code}
TENANT_CALLS = 8  # of one tenant that block in a route; more are quicker on few cores only where they wait for a disk
STAGING = "staging"  # exports being made; empty between them


def wire(
    settings: Settings,
    methods: Sequence[Method] = METHODS,
    trainer: Sequence[str] = TRAINER,
    environment: Mapping[str, str] = os.environ,
    oom_counters: Sequence[Path] = OOM_COUNTERS,
    trainer_pauses_s: tuple[float, float] = PAUSES_S,
) -> Core:
    """Build the core, take up what ended processes left, and start loading the default backbone.

    `trainer` is the command of the process that trains by the deep ones of `methods`, and runs in `environment`,
    where it reads the same settings; `oom_counters` tell when the kernel ended it for its memory, and
    `trainer_pauses_s` are the shortest and the longest before it is started again.
    """
    # The engine has its own threads; a solver that took all cores as well would stall every prediction.
    threadpool_limits(1)
    root = settings.root
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    workers = Presence(root / WORKERS, settings.workers)
    presence = among_all(settings, workers)
    owner, several = presence.number, settings.workers > 1
    shared = several or settings.trainer or settings.database_url is not None
    traces, metrics = open_traces(environment), Metrics({})
    tracing = traces or UNTRACED
    database = Database(settings.place, shared=shared)
    database.watch_failures(metrics.database_error)
    with workers.turn():
        if workers.alive() == frozenset({workers.number}):
            clear_work(root / STAGING)
    with presence.turn():
        database.migrate()
    # The registry tells the directory of every move, and the directory reads the registry.
    parts = open_parts(settings, database, owner, on_move=lambda project_id: directory.forget(project_id))
    tenants, exports = Tenants(database), Exports(database, parts.blobs, owner)
    idempotency = Idempotency(database, owner)
    directory = Directory(parts.registry)
    cores = Cores(settings.engine_workers, settings.engine_threads)
    decoder = DecoderPool(settings.engine_workers)

    hearers = (metrics.passed, tracing.passed)
    backbones = serve_backbones(settings, engines_of(settings, cores), settings.engine_workers, decoder, hearers)
    residency = Residency(lambda version: backbones.of(version).banks, parts.registry.graft, weight_of(settings))

    def forget(change: Change) -> None:
        directory.forget(change.project_id)
        if change.erased:
            residency.forget(change.project_id)

    predictor = Predictor(directory, residency, backbones, tracing=tracing)
    deep_lane = DeepLane(parts.adaptations)
    offered = [method if settings.trainer or method.name not in DEEP else Untrained(method) for method in methods]
    fast_lane = FastLane(
        parts.stores(database),
        Tools(
            backbones,
            {method.name: method for method in offered},
            partial(plan, offered),
            trains=settings.trainer,
            rates=partial(_rates, backbones, settings.threads_per_job),
            tracing=tracing,
            choose=chooser(settings, parts, backbones, lambda name: backbones.ready(name) is not None),
        ),
        workers=settings.adaptation_workers,
        on_end=metrics.adaptation,
    )
    exporting = Exporting(
        ExportStores(exports, parts.registry, parts.samples, parts.blobs),
        lambda version: backbones.of(version).loaded,
        predictor.probabilities,
        _build,
        decoder,
        stage=root / STAGING,
        on_end=metrics.export,
    )
    core = Core(
        settings=settings,
        methods=offered,
        database=database,
        tenants=tenants,
        door=Doorkeeper(tenants, lambda: presence.processes, alone=not several and settings.database_url is None),
        clerks=Clerks(),
        shares=Shares(TENANT_CALLS),
        projects=parts.projects,
        samples=parts.samples,
        adaptations=parts.adaptations,
        registry=parts.registry,
        exports=exports,
        idempotency=idempotency,
        blobs=parts.blobs,
        backbones=backbones,
        decoder=decoder,
        directory=directory,
        residency=residency,
        predictor=predictor,
        fast_lane=fast_lane,
        deep_lane=deep_lane,
        streams=Streams(),
        keeper=Keeper(
            root / WORKERS / "keeper",
            settings.threads_per_job,
            trainer,
            environment,
            partial(parts.adaptations.tell_running, TRAINER_OWNER, KILLED_FOR_MEMORY),
            oom_counters,
            trainer_pauses_s,
        )
        if settings.trainer and settings.trainer_beside
        else None,
        exporting=exporting,
        taking_up=TakingUp(presence, parts.projects, parts.adaptations, exports, idempotency, fast_lane, exporting),
        upkeep=Upkeep(database, parts.blobs, idempotency, Changes(database), root / WORKERS / "upkeep"),
        metrics=metrics,
        traces=traces,
        workers=workers,
        presence=presence,
        watcher=Watcher(database, forget, lambda: end("changes of other processes may be missed")) if shared else None,
        board=Board(root / WORKERS, workers, metrics.exposition, several=several) if shared else None,
        draining=threading.Event(),
    )
    metrics.add(gauges_of(core))
    with presence.turn():
        bootstrap(settings, tenants)
    threading.Thread(target=_warm, args=(core,), name="warm-up", daemon=True).start()
    return core


def _build(*given: Any, **named: Any) -> Built:  # as `Build` says
    """Of an export. The first brings onnx, which most of what serves does without."""
    from tsugiki.export.bundle import build

    return build(*given, **named)


def _rates(backbones: ServedBackbones, threads: int, name: str) -> Rates:
    """As measured here for training on `threads` threads, once it was."""
    served = backbones.get(name)
    return read_rates(rates_file(served.loaded, served.engine.name, threads), served.loaded.source.modality)


def _warm(core: Core) -> None:
    """Load the default backbone, then what no prediction needs and the next adaptations do: before, it would delay it.

    What is in the way of a backbone may be mended meanwhile, so it is tried until it works.
    """
    loaded = _load(core)
    if core.keeper is not None:
        core.keeper.begin()
    if not confident.loaded():
        with giving_way():
            confident.load()
    pause_s = FIRST_PAUSE_S
    while not loaded and not core.draining.wait(pause_s):
        loaded = _load(core)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    if loaded:
        _load_others(core)


def _load(core: Core) -> bool:
    name = core.settings.text_backbone
    try:
        core.backbones.embed("warm-up", name, ["warm-up"])
    except TsugikiError as error:
        log.critical("backbone %s cannot be served: %s %s", name, error.detail, error.fix)
        return False
    except Exception:
        log.exception("backbone %s cannot be served", name, extra=OURS)
        return False
    log.info("ready: %s, %s", name, core.backbones.backbone(name).space.id)
    return True


def _load_others(core: Core) -> None:
    """Those that the settings name; one that cannot be loaded keeps nobody else from being served."""
    for name in core.settings.loaded:
        try:
            core.backbones.get(name)
        except TsugikiError as error:
            log.error("backbone %s cannot be loaded: %s %s", name, error.detail, error.fix)
        except Exception:
            log.exception("backbone %s cannot be loaded", name, extra=OURS)
