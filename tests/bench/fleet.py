"""How well the reckoning of `capacity` tells what two workers do; and what it says of a fleet of 100,000 tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import event
from sqlalchemy.engine import Engine

from service.launch import serving
from service.settings import MIB, Settings
from service.wiring import wire
from tests.bench.capacity import Outcome, Replica, reckoned, replicas_for, shares, simulated
from tests.bench.figures import Figure
from tests.bench.filling import PROJECT, Filled, fill
from tests.bench.heads import SEED
from tests.bench.serving.arithmetic import percentile, server_timing
from tests.bench.serving.bed import KEY, sample_texts
from tests.bench.serving.driving import Load, drive, write_tape
from tests.bench.serving.load import Job
from tests.bench.serving.targets import asking, port_of
from tsugiki.runtime.banks import HEAD_OVERHEAD_BYTES
from tsugiki.runtime.directory import Selector

if TYPE_CHECKING:
    from numpy.typing import NDArray

TENANTS, CLASSES = 2_000, 2
FITTING = 600  # heads, of each worker: so that some are put away and read again
SKEW = 0.9  # of tenants' traffic, by Zipf's law
REQUESTS = 16_384  # of a tape before it repeats
WARM_S, MOST_S, SIDE_S = 10.0, 8.0, 15.0
WORKERS = 2
BUSY = (0.3, 0.5, 0.7)  # of the most
COLD = 50  # tenants, whose reads of the database are counted
HEAD_BYTES = (768 + 1) * 4 * CLASSES + HEAD_OVERHEAD_BYTES  # as the budget counts them
RESIDENT_BYTES = 13.6 * 1024  # of a head of two labels, as `make bench` part memory found

FLEET_TENANTS, FLEET_PER_S, FLEET_P99_S, FLEET_BUSY = 100_000, 10_000.0, 0.1, 0.6
FLEET_HEAD_BYTES = (256 * MIB, 1024 * MIB)  # the default, and what holds all


def measure(home: Path) -> list[Figure]:
    """`home` gets its tenants here."""
    with serving(home):
        pass  # so that there are tables and graphs
    tenants = fill(home, TENANTS, classes=CLASSES)
    reads = _reads(home, tenants[:COLD])
    of = shares(TENANTS, SKEW)
    env = {
        "TSUGIKI_BOOTSTRAP_KEY": KEY,
        "TSUGIKI_WORKERS": str(WORKERS),
        "TSUGIKI_ENGINE_WORKERS": "1",
        "TSUGIKI_TRAINER": "off",
        "TSUGIKI_HEAD_BYTES": str(FITTING * HEAD_BYTES),
    }
    figures = [Figure("reads of the database for a prediction of a cold tenant", reads, "")]
    with serving(home, env=env) as running:
        port = port_of(running.url)
        tape = _tape(home, port, tenants, of)
        drive(Job(port, tape, 16, WARM_S))
        pair = _calibrated(drive(Job(port, tape, 1, MOST_S / 2)), drive(Job(port, tape, 16, MOST_S)))
        for busy in BUSY:
            rate = busy * pair.most_per_s
            load = drive(Job(port, tape, 256, SIDE_S, rate=rate, offset=int(busy * REQUESTS)))
            figures += _beside(f"{busy:.0%} of {pair.most_per_s:.0f}/s", load, pair, rate, of)
    return [*figures, *_fleet(pair, reads)]


def _calibrated(alone: Load, full: Load) -> Replica:
    """By callers who wait alone, and by as many as keep all busy: then what rows share no longer counts.

    What a row costs has reading of heads in it, as often as it happens here.
    """
    row_s = WORKERS / full.rate
    alone_s = sum(alone.latencies_ms) / len(alone.good) / 1e3
    return Replica(WORKERS, max(0.0, alone_s - row_s), row_s, FITTING, _load_s(alone))


def _beside(name: str, load: Load, pair: Replica, per_s: float, of: NDArray[np.float64]) -> list[Figure]:
    told = reckoned(pair, per_s, of)
    played = simulated(pair, per_s, of, 100_000, np.random.default_rng(SEED))
    seen = Outcome(percentile(load.latencies_ms, 50) / 1e3, percentile(load.latencies_ms, 99) / 1e3, _missed(load))
    note = f"{1e3 * seen.p99_s:.0f} ms seen, {1e3 * told.p99_s:.0f} reckoned, {1e3 * played.p99_s:.0f} played; "
    note += f"p50 {1e3 * seen.p50_s:.1f}, {1e3 * told.p50_s:.1f}, {1e3 * played.p50_s:.1f}; {load.failed} failed"
    loads = f"{seen.missed:.3f} seen, {told.missed:.3f} reckoned, {played.missed:.3f} played"
    return [
        Figure(f"p99 reckoned ÷ seen at {name}", told.p99_s / seen.p99_s, "", note=note),
        Figure(f"heads read, reckoned ÷ seen at {name}", told.missed / max(seen.missed, 1e-9), "", note=loads),
    ]


def _fleet(replica: Replica, reads: float) -> list[Figure]:
    of = shares(FLEET_TENANTS, SKEW)
    figures: list[Figure] = []
    for head_bytes in FLEET_HEAD_BYTES:
        one = replace(replica, heads=head_bytes // HEAD_BYTES)
        count = replicas_for(one, FLEET_PER_S, of, FLEET_P99_S, FLEET_BUSY)
        outcome = reckoned(one, FLEET_PER_S / count, of)
        resident = min(one.heads, FLEET_TENANTS) * RESIDENT_BYTES / MIB
        note = f"{FLEET_TENANTS:,} tenants, {FLEET_PER_S:,.0f} texts/s, at most {FLEET_BUSY:.0%} busy, p99 "
        note += f"{1e3 * outcome.p99_s:.0f} ms; heads {resident:,.0f} MiB each; {outcome.missed:.1%} of requests read "
        note += f"one: {FLEET_PER_S * outcome.missed * reads:,.0f} reads of the database a second"
        figures.append(Figure(f"replicas of two cores, {head_bytes // MIB} MiB for heads", count, "", note=note))
    return figures


def _tape(home: Path, port: int, tenants: Sequence[Filled], of: NDArray[np.float64]) -> str:
    random = np.random.default_rng(SEED)
    ask, texts = asking(tenants), sample_texts()
    drawn = random.choice(len(tenants), REQUESTS, p=of).tolist()
    return write_tape(
        home / "fleet.json", port, (ask(tenant, [texts[n % len(texts)]]) for n, tenant in enumerate(drawn))
    )


def _loads(load: Load) -> list[float]:
    """What loading took, in ms, of those answers that had to."""
    return [timing["load"] for told in load.records.timing if (timing := server_timing(told)).get("load")]


def _missed(load: Load) -> float:
    return len(_loads(load)) / max(1, len(load.good))


def _load_s(load: Load) -> float:
    loads = _loads(load)
    return sum(loads) / max(1, len(loads)) / 1e3


def _reads(home: Path, cold: Sequence[Filled]) -> float:
    """Statements that one prediction costs where nothing of its tenant is in memory: key, project, version, graft."""
    core = wire(Settings.model_validate({"home": home, "bootstrap_key": KEY, "trainer": False}))
    seen: list[str] = []

    def hear(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            seen.append(statement)

    try:
        core.backbones.get("minilm-en")
        event.listen(Engine, "before_cursor_execute", hear)
        for tenant in cold:
            core.door.identify(tenant.key)
            asyncio.run(core.predictor.predict(tenant.tenant_id, PROJECT, Selector(), ["hello"]))
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
        core.close()
    return len(seen) / len(cold)
