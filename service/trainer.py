"""The trainer: a process of its own that runs the deep lane of one home. `python -m service.trainer [PARENT]`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from adapters import METHODS
from adapters.selection import plan
from service.board import TRAINER as TRAINER_PAGE
from service.board import Page
from service.logs import write_log
from service.parts import WORKERS, chooser, engines_of, open_parts, serve_backbones
from service.scratch import make_scratch
from service.settings import Settings, read_settings
from service.supervision import end, end_with
from service.traces import open_traces
from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.jobs.adapting import Tools
from tsugiki.jobs.attempts import PAUSES_S
from tsugiki.jobs.deep_jobs import DeepJobs, Step
from tsugiki.jobs.intake import Intake
from tsugiki.jobs.workflows import Workflows
from tsugiki.monitoring import Metrics
from tsugiki.observed import UNTRACED, JobEnd
from tsugiki.ports import Method
from tsugiki.runtime.engines.making import Cores
from tsugiki.runtime.trainable import TrainableBackbone
from tsugiki.storage import FILE_NAME
from tsugiki.storage.database import Database
from tsugiki.storage.presence import TRAINER, Present, one_at_a_time
from tsugiki.storage.unfinished import Unfinished
from tsugiki.training.rates import ensure_rates

if TYPE_CHECKING:
    from tsugiki.backbones.loaded import Loaded
    from tsugiki.domain import Content, Floats, WeightsDelta
    from tsugiki.ports import Backbone, Engine
    from tsugiki.runtime.served import MakeEngine, ServedBackbones

log = logging.getLogger("tsugiki.trainer")

NICE = 19  # the least: a prediction that wants the core has it at once
OOM_SCORE = 500  # of 1,000: where memory ends, the kernel ends the trainer before anything that serves


def train(
    settings: Settings,
    methods: Sequence[Method] = METHODS,
    pauses_s: Sequence[float] = PAUSES_S,
    around: Callable[[Step], Step] = lambda step: step,
) -> None:
    """Until SIGTERM or SIGINT. Waits its turn where another trainer of the home still runs.

    `around` is for tests: what else happens to a step.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stop.set())
    _give_way()
    write_log(settings.log_format)
    threads = settings.threads_per_job
    threadpool_limits(threads)
    # Where rows are a server's, nobody has made this home before.
    (settings.root / WORKERS).mkdir(parents=True, exist_ok=True, mode=0o700)
    with one_at_a_time(settings.root / WORKERS / TRAINER_PAGE):
        traces, metrics = open_traces(os.environ), Metrics({})
        tracing = traces or UNTRACED
        database = Database(settings.place, shared=True)
        database.watch_failures(metrics.database_error)
        presence = _among_trainers(settings)
        parts = open_parts(settings, database, TRAINER, on_move=lambda _: None)
        engines = engines_of(settings, Cores(settings.trainer_jobs, threads))
        decoder = DecoderPool(settings.trainer_jobs * threads)

        hearers = (metrics.passed, tracing.passed)
        backbones = serve_backbones(settings, engines, settings.trainer_jobs, decoder, hearers)
        trainables = Trainables(backbones, engines.preferred, threads)
        tools = Tools(
            trainables,
            {method.name: method for method in methods},
            partial(plan, methods),
            tracing=tracing,
            # What trains for minutes on a backbone must not see it replaced: none is tried, and so it is settled.
            choose=chooser(settings, parts, trainables, lambda name: False),
        )

        def ended(end: JobEnd) -> None:
            metrics.adaptation(end)
            log.info("an adaptation by the trainer %s (%s)", end.status, end.method)

        unfinished = Unfinished(database, parts.blobs)
        jobs = DeepJobs(parts.stores(database), unfinished, parts.projects, tools, on_end=ended, pauses_s=pauses_s)

        def run(project_id: str, adaptation_id: str, step: Step) -> None:
            jobs.run(project_id, adaptation_id, around(step))

        workflows = Workflows(settings.place, run, jobs=settings.trainer_jobs, presence=presence)
        intake = Intake(database, parts.adaptations, workflows)
        page = Page(settings.root / WORKERS, TRAINER_PAGE, metrics.exposition)
        log.info("the trainer is ready: %d jobs at a time, %d threads each", settings.trainer_jobs, threads)
        stop.wait()
        page.close()
        intake.close()
        jobs.close()
        workflows.close()
        backbones.close()
        decoder.close()
        if presence is not None:
            presence.close()
        database.close()
        if traces is not None:
            traces.close()


@dataclass(frozen=True, slots=True)
class Trainables:
    """The Embedder port, of backbones that a method may train on `threads` threads."""

    backbones: ServedBackbones
    make: MakeEngine
    threads: int
    measuring: threading.Lock = field(default_factory=threading.Lock)

    def backbone(self, name: str) -> Backbone:
        """The first time on this machine it is measured how fast it trains."""
        served = self.backbones.get(name)
        with self.measuring:  # one by one: who measures beside another keeps what the two of them reached together
            rates = ensure_rates(served.loaded, served.engine, self.threads)

        def engine(loaded: Loaded, delta: WeightsDelta | None) -> Engine:
            return served.engine if delta is None else self.make(loaded, delta)

        return TrainableBackbone(served.loaded, engine, rates, self.threads)

    def embed(
        self, tenant_id: str, name: str, contents: Sequence[Content], check: Callable[[], None] = lambda: None
    ) -> Floats:
        return self.backbones.embed(tenant_id, name, contents, check)


def main() -> None:
    if len(sys.argv) > 1:
        end_with(int(sys.argv[1]))
    settings = read_settings()
    _refuse_unmade(settings)
    make_scratch(settings.root, alone=False)
    train(settings)


def _among_trainers(settings: Settings) -> Present | None:
    """None where this is the only one, of an SQLite home."""
    if settings.database_url is None:
        return None
    from tsugiki.storage.sessions import TRAINING, SessionPresence

    return SessionPresence(
        settings.database_url.get_secret_value(), TRAINING, lambda: end("another trainer has this one's number")
    )


def _refuse_unmade(settings: Settings) -> None:
    """The service makes a home, the trainer only works in it. Raises SystemExit, status 2, where there is none."""
    if settings.database_url is None and not (settings.root / FILE_NAME).exists():
        home = settings.root
        told = f"tsugiki: TSUGIKI_HOME={home} has no database: start the service on it first (python -m service), "
        sys.stderr.write(f"{told}which starts a trainer by itself; or name the home of one that runs\n")
        raise SystemExit(2)


def _give_way() -> None:
    os.nice(NICE - os.nice(0))
    # Where Linux shares the cores between sessions first, niceness counts within one only: a trainer, alone in its own,
    # would have as much as all that serves. One in a terminal's session leaves that as it is.
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # there is no such file
            Path("/proc/self/autogroup").write_text(str(NICE))
    with suppress(OSError):  # another system than Linux, or one that forbids it: then it is one of equals
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


if __name__ == "__main__":
    main()
