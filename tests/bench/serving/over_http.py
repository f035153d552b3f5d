"""Tsugiki over HTTP beside its own engine and beside its peers, all asked by the same client in turn."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import NamedTuple

from tests.bench.figures import Figure
from tests.bench.serving.arithmetic import paired, percentile
from tests.bench.serving.bed import Bed, say
from tests.bench.serving.driving import Load
from tests.bench.serving.limit import Limit
from tests.bench.serving.peers.asked import Asked, all_peers
from tests.bench.serving.peers.known import PLAIN
from tests.bench.serving.targets import ALONE, BATCHED, MANY, SOME, Shape, Target, asking, port_of

OURS = "Tsugiki"
SHAPES = (ALONE, SOME, MANY, BATCHED)
WARM_S = 2.0


class Side(NamedTuple):
    name: str
    shape: Shape


def measure(bed: Bed) -> list[Figure]:
    limit = Limit(bed)
    loads: defaultdict[Side, list[Load]] = defaultdict(list)
    with bed.serving() as service, all_peers(bed) as asked:
        port = port_of(service.url)
        ours = Target(bed, OURS, port, asking(bed.tenants))
        sides = [(ours, shape) for shape in SHAPES]
        sides += [(target, SOME) for target in asked.targets]
        ours.run(SOME, WARM_S)
        for number in range(bed.lengths.rounds):
            say(f"HTTP, round {number + 1} of {bed.lengths.rounds}")
            limit.measure()
            for target, shape in sides:
                loads[Side(target.name, shape)].append(target.run(shape))
        once = {Side(target.name, BATCHED): target.run(BATCHED) for target in asked.targets}
    figures = [Figure("engine alone, beside HTTP", limit.median, "texts/s", note=limit.told())]
    figures += [_told(side, rounds, limit, asked.notes.get(side.name, "")) for side, rounds in loads.items()]
    figures += [_told(side, [load], limit) for side, load in once.items()]
    figures += [Figure(f"HTTP, {name}", None, "texts/s", note=why) for name, why in asked.failed.items()]
    return [*figures, *_promised(loads, limit, asked), _own_time(loads[Side(OURS, ALONE)])]


def _told(side: Side, rounds: list[Load], limit: Limit, how: str = "") -> Figure:
    texts = _texts(side, rounds)
    latencies = [ms for load in rounds for ms in load.latencies_ms]
    failed = sum(load.failed for load in rounds)
    share = paired(texts, limit.rounds if len(texts) > 1 else [limit.median])
    note = ("once; " if len(texts) == 1 else "") + f"{share:.2f} of the limit; p50 {percentile(latencies, 50):.1f} ms, "
    note += f"p99 {percentile(latencies, 99):.1f} ms" + (f"; {failed} FAILED" if failed else "")
    note += f"; {how}" if how else ""
    return Figure(f"HTTP, {side.name}, {side.shape}", statistics.median(texts), "texts/s", note=note)


def _promised(loads: dict[Side, list[Load]], limit: Limit, asked: Asked) -> list[Figure]:
    batched = _texts(side := Side(OURS, BATCHED), loads[side])
    figures = [Figure("HTTP, 64-text requests ÷ limit", paired(batched, limit.rounds), "", 0.80, "more")]
    ours = _texts(side := Side(OURS, SOME), loads[side])
    ratios = {
        target.name: paired(ours, _texts(side := Side(target.name, SOME), loads[side])) for target in asked.targets
    }
    plain = asked.failed.get(PLAIN, "")
    figures.append(Figure(f"HTTP, single texts ÷ {PLAIN}", ratios.get(PLAIN), "", 3, "more", plain))
    best = min(ratios, key=lambda name: ratios[name], default=None)
    note = "no peer could be measured" if best is None else f"the best is {best}"
    note += "".join(f"; without {name}" for name in asked.failed)
    value = None if best is None else ratios[best]
    return [*figures, Figure("HTTP, single texts ÷ best peer", value, "", 1.5, "more", note)]


def _own_time(rounds: list[Load]) -> Figure:
    name = "HTTP, server's own time beyond the engine's, median"
    own = [ms for load in rounds for ms in load.overheads_ms]
    if not own:
        return Figure(name, None, "ms", 1.0, note="the replies have no Server-Timing of total and engine")
    return Figure(name, statistics.median(own), "ms", 1.0, note=f"single texts × 1; p99 {percentile(own, 99):.2f} ms")


def _texts(side: Side, rounds: list[Load]) -> list[float]:
    return [load.rate * side.shape.texts for load in rounds]
