"""What a tenant must not feel: a cold head, its own swap, another's flood."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

import numpy as np

from service.launch import Running
from tests.bench.figures import Figure
from tests.bench.filling import PROJECT, Filled
from tests.bench.heads import SEED
from tests.bench.process import at_rest
from tests.bench.serving.arithmetic import percentile, server_timing
from tests.bench.serving.bed import Bed, say
from tests.bench.serving.driving import Load, Question, drive, driving, write_tape
from tests.bench.serving.load import Job
from tests.bench.serving.targets import Shape, asking, port_of

SWAP_CALLERS = 16
QUIET_RATE = 5.0  # requests a second of the quiet tenant
FLOODS = (Shape(1, 64), Shape(64, 4))  # closed loops, which want all that the service can do
FLOODER, QUIET = 0, 1  # tenants
ROUNDS = 3


def measure(bed: Bed) -> list[Figure]:
    with bed.serving() as running:
        cold = np.random.default_rng(SEED).permutation(len(bed.tenants)).tolist()
        started, settled = cold[: bed.lengths.cold_heads], cold[bed.lengths.cold_heads : 2 * bed.lengths.cold_heads]
        begun = _begun(bed, running, started)
        at_rest(running.pid)
        return [*_cold(bed, running, settled), begun, _swap(bed, running), *_flood(bed, running)]


def _begun(bed: Bed, running: Running, tenants: Sequence[int]) -> Figure:
    """While the service still loads what no prediction needs, and clears up."""
    say("cold heads, right after the start")
    loads = _loads_ms(_first_and_second(bed, running, tenants))
    note = f"of {len(loads)}, from the first ready answer on; median {statistics.median(loads):.1f}"
    return Figure("HTTP, cold head right after the start, p99", percentile(loads, 99), "ms", note=note)


def _cold(bed: Bed, running: Running, tenants: Sequence[int]) -> list[Figure]:
    say("cold heads")
    load = _first_and_second(bed, running, tenants)
    loads, firsts, seconds = _loads_ms(load), load.latencies_ms[::2], load.latencies_ms[1::2]
    differences = [first - second for first, second in zip(firsts, seconds, strict=True)]
    note = f"of {len(loads)}, as the service tells: found, read, checked, placed; median {statistics.median(loads):.1f}"
    seen = f"with the key's check and two passes' noise; median {statistics.median(differences):.1f} ms"
    return [
        Figure("HTTP, cold head, p99", percentile(loads, 99), "ms", 5, note=note),
        Figure("HTTP, first prediction less second, p99", percentile(differences, 99), "ms", note=seen),
    ]


def _first_and_second(bed: Bed, running: Running, tenants: Sequence[int]) -> Load:
    """First predictions of tenants nobody asked for yet, and their second: one caller, one after the other."""
    port, ask = port_of(running.url), asking(bed.tenants)
    questions = [question for tenant in tenants for question in [ask(tenant, [bed.texts[0]])] * 2]
    return _all_good(drive(Job(port, write_tape(bed.work / "cold.json", port, questions), 1, count=len(questions))))


def _loads_ms(load: Load) -> list[float]:
    """As the service tells, of those that were not in memory."""
    return [timing["load"] for told in load.records.timing if "load" in (timing := server_timing(told))]


def _swap(bed: Bed, running: Running) -> Figure:
    """Aliases move to and fro and are rolled back while the same tenants are asked."""
    say("swaps")
    port, ask = port_of(running.url), asking(bed.swapping)
    asked = [ask(n % len(bed.swapping), [text]) for n, text in enumerate(bed.texts)]
    moves = list(
        itertools.chain.from_iterable(
            (_move(tenant, 1), _move(tenant, 2), _rollback(tenant)) for tenant in bed.swapping
        )
    )
    seconds = 2 * bed.lengths.side_s
    mover = Job(port, write_tape(bed.work / "moves.json", port, moves), 1, seconds)
    with driving(mover) as moving:
        load = drive(Job(port, write_tape(bed.work / "swap.json", port, asked), SWAP_CALLERS, seconds))
        moved = moving()
    _all_good(moved)
    note = f"of {len(load.records.status)} predictions during {len(moved.good)} moves of {len(bed.swapping)} aliases"
    return Figure("HTTP, swaps: failed predictions", load.failed, "", 0, note=note)


def _flood(bed: Bed, running: Running) -> list[Figure]:
    port, ask = port_of(running.url), asking(bed.tenants)
    quiet = Job(
        port,
        write_tape(bed.work / "quiet.json", port, [ask(QUIET, [text]) for text in bed.texts]),
        connections=64,
        seconds=bed.lengths.probe_s,
        rate=QUIET_RATE,
    )
    flooding = [_flooder(bed, port, shape) for shape in FLOODS]
    solo: list[Load] = []
    flooded: list[Load] = []
    answered = 0.0
    for number in range(ROUNDS):
        say(f"flood, round {number + 1} of {ROUNDS}")
        solo.append(_all_good(drive(quiet)))
        with driving(flooding[0]) as singles, driving(flooding[1]) as batches:
            flooded.append(_all_good(drive(quiet)))
            answered += singles().rate * FLOODS[0].texts + batches().rate * FLOODS[1].texts
    alone, beside = ([ms for load in loads for ms in load.latencies_ms] for loads in (solo, flooded))
    p99, flooded_p99 = percentile(alone, 99), percentile(beside, 99)
    served = [percentile([ms for load in loads for ms in load.served_ms], 99) for loads in (flooded, solo)]
    note = f"p99 {flooded_p99:.0f} ms beside {p99:.0f} ms of {len(alone)}; "
    note += f"p50 {statistics.median(beside):.0f} beside {statistics.median(alone):.0f}; "
    note += f"p99 within the service {served[0]:.0f} beside {served[1]:.0f}: the clients share its cores; "
    note += f"the flood got {answered / ROUNDS:.0f} texts/s"
    return [Figure("HTTP, quiet tenant's p99 in a flood ÷ solo", flooded_p99 / p99, "", 2, note=note)]


def _flooder(bed: Bed, port: int, shape: Shape) -> Job:
    ask, pool = asking(bed.tenants), bed.texts
    starts = range(0, len(pool), shape.texts)
    questions = [ask(FLOODER, pool[start : start + shape.texts]) for start in starts]
    tape = write_tape(bed.work / f"flood-{shape.texts}.json", port, questions)
    return Job(port, tape, shape.connections, bed.lengths.probe_s)


def _move(tenant: Filled, version: int) -> Question:
    path = f"/v1/projects/{PROJECT}/aliases/live"
    return Question(path, {"version": version}, {"Authorization": f"Bearer {tenant.key}"}, "PUT")


def _rollback(tenant: Filled) -> Question:
    path = f"/v1/projects/{PROJECT}/rollback"
    return Question(path, {"alias": "live"}, {"Authorization": f"Bearer {tenant.key}"})


def _all_good(load: Load) -> Load:
    """Raises RuntimeError if a request failed: latencies of the others would say nothing."""
    if load.failed:
        raise RuntimeError(f"{load.failed} of {len(load.records.status)} requests failed: {set(load.records.status)}")
    return load
