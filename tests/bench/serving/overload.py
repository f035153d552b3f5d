"""Three times what the service can do: the excess is refused at once, the rest is answered, and then all is well."""

from __future__ import annotations

import statistics

from tests.bench.figures import Figure
from tests.bench.serving.arithmetic import percentile
from tests.bench.serving.bed import Bed, say
from tests.bench.serving.driving import REFUSED, Load, drive
from tests.bench.serving.load import LOST, UNSENT, Job
from tests.bench.serving.targets import Shape, Target, asking, port_of

TIMES = 3  # of saturation
TEXTS = 16  # a request: so few requests that refusals, not connections, are measured
SATURATING = 32  # connections
CONNECTIONS = 1_000
PEAK_S = 8.0
PROBE_RATE, PROBE_S = 10.0, 10.0
NORMAL = 2.0  # times the probe's median before: what counts as normal again


def measure(bed: Bed) -> list[Figure]:
    with bed.serving() as running:
        target = Target(bed, "overloaded", port_of(running.url), asking(bed.tenants))
        say("overload: what it can do")
        target.run(Shape(TEXTS, SATURATING), 2.0)
        peak = target.run(Shape(TEXTS, SATURATING), PEAK_S).rate
        probe = Job(target.port, target.tape(1), CONNECTIONS, PROBE_S, PROBE_RATE)
        before = statistics.median(drive(probe).latencies_ms)
        say(f"overload: {TIMES} × {peak * TEXTS:.0f} texts/s for {bed.lengths.overload_s:.0f} s")
        job = Job(target.port, target.tape(TEXTS), CONNECTIONS, bed.lengths.overload_s, TIMES * peak)
        load = drive(job)
        # The client ends when the last answer is in, or its patience: the seconds after the overload began then.
        late = max(load.records.end) - bed.lengths.overload_s
        after = drive(probe)
    return [*_refusals(load), _goodput(load, peak, bed.lengths.overload_s), _normal(after, before, max(0.0, late))]


def _refusals(load: Load) -> list[Figure]:
    statuses = load.records.status
    refused = [load.ms(place) for place, status in enumerate(statuses) if status in REFUSED]
    other = {status: statuses.count(status) for status in set(statuses) - REFUSED - {200}}
    words = {UNSENT: "no free connection", LOST: "lost or never answered"}
    note = f"{len(load.good)} answered, {len(refused)} refused"
    note += "".join(f", {count} {words.get(status, status)}" for status, count in sorted(other.items()))
    name = "overload: refusals' p99"
    if not refused:
        return [Figure(name, None, "ms", 100, note=f"nothing was refused: {note}")]
    lost = Figure("overload: neither answered nor refused", sum(other.values()), "", 0, note=note)
    return [Figure(name, percentile(refused, 99), "ms", 100, note=note), lost]


def _goodput(load: Load, peak: float, seconds: float) -> Figure:
    answered = sum(load.records.end[place] <= seconds for place in load.good) / seconds
    note = f"{answered * TEXTS:.0f} of {peak * TEXTS:.0f} texts/s"
    note += f"; answered p50 {percentile(load.latencies_ms, 50):.0f} ms, p99 {percentile(load.latencies_ms, 99):.0f} ms"
    return Figure("overload: goodput ÷ peak", answered / peak, "", 0.9, "more", note)


def _normal(after: Load, before: float, late: float) -> Figure:
    """From the overload's end to the first second whose answers are as fast as before, in the median."""
    name, note = "overload: normal again after", f"median within {NORMAL:g} × {before:.0f} ms"
    for second in range(int(PROBE_S)):
        places = [place for place in after.good if second <= after.records.due[place] < second + 1]
        if places and statistics.median(after.ms(place) for place in places) <= NORMAL * before:
            return Figure(name, late + second, "s", 5, note=f"{note}; the last answer came after {late:.1f} s")
    return Figure(name, None, "s", 5, note=f"not within {late + PROBE_S:.0f} s; {note}")
