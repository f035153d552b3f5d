"""Tsugiki without HTTP: what is left of the engine's speed when every text is of another tenant."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import uvloop

from tests.bench.figures import Figure
from tests.bench.filling import PROJECT
from tests.bench.heads import SEED
from tests.bench.serving.arithmetic import Traffic, draw, paired
from tests.bench.serving.bed import Bed, say
from tests.bench.serving.limit import Limit
from tsugiki.errors import TsugikiError
from tsugiki.runtime.directory import Selector

IN_FLIGHT = 256  # enough to fill the passes of every length bucket
TENANTS = (1, 10, 100, 1_000, 10_000)
DRAWN = 20_000  # requests, before they repeat


class Side(NamedTuple):
    tenants: int
    traffic: Traffic

    def __str__(self) -> str:
        return f"{self.tenants:,} tenants, {self.traffic}" if self.tenants > 1 else "1 tenant"


SIDES = (Side(1, "uniform"), *(Side(n, traffic) for n in TENANTS[1:] for traffic in ("uniform", "zipf")))


def measure(bed: Bed) -> list[Figure]:
    limit = Limit(bed)
    rounds: defaultdict[Side, list[float]] = defaultdict(list)
    sides = [side for side in SIDES if side.tenants <= len(bed.tenants)]
    uvloop.run(_warm(bed))
    for number in range(bed.lengths.rounds):
        say(f"in process, round {number + 1} of {bed.lengths.rounds}")
        limit.measure()
        for side in sides:
            rounds[side].append(uvloop.run(_side(bed, side)))
    figures = [Figure("engine alone: the limit", limit.median, "texts/s", note=limit.told())]
    for side in sides:
        share = paired(rounds[side], limit.rounds)
        note = f"{share:.2f} of the limit; {IN_FLIGHT} in flight"
        figures.append(Figure(f"in process, {side}", statistics.median(rounds[side]), "texts/s", note=note))
    few, many, most = (Side(n, "uniform") for n in (1, 1_000, 10_000))
    kept = paired(rounds[many], limit.rounds)
    figures.append(Figure("in process, 1,000 tenants ÷ limit", kept, "", 0.90, "more"))
    name = "in process, 10,000 tenants ÷ 1 tenant"
    if most in rounds:
        figures.append(Figure(name, paired(rounds[most], rounds[few]), "", 0.95, "more"))
    else:
        figures.append(Figure(name, None, "", 0.95, "more", f"a quick run has {len(bed.tenants):,} tenants"))
    return figures


async def _warm(bed: Bed) -> None:
    """Every head in memory: what a cold one costs is another figure."""
    for start in range(0, len(bed.tenants), IN_FLIGHT):
        tenants = bed.tenants[start : start + IN_FLIGHT]
        await asyncio.gather(*(_predict(bed, tenant.tenant_id, "hello") for tenant in tenants))


async def _side(bed: Bed, side: Side) -> float:
    """Texts a second until the last answer: each caller asks for its next text when it has its last answer."""
    chosen: list[int] = draw(side.traffic, side.tenants, DRAWN, np.random.default_rng(SEED)).tolist()
    requests = [(bed.tenants[place].tenant_id, bed.texts[n % len(bed.texts)]) for n, place in enumerate(chosen)]
    started = time.perf_counter()
    asked = 0

    async def caller() -> None:
        nonlocal asked
        while time.perf_counter() - started < bed.lengths.side_s:
            tenant_id, text = requests[asked % len(requests)]
            asked += 1
            await _predict(bed, tenant_id, text)

    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return asked / (time.perf_counter() - started)


async def _predict(bed: Bed, tenant_id: str, text: str) -> None:
    answered = await bed.core.predictor.predict(tenant_id, PROJECT, Selector(), [text], "END", 1)
    for row in answered.rows:
        if isinstance(row, TsugikiError):
            raise row
