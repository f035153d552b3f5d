"""All that is promised of acknowledged writes and of answers, while members are killed at random."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from tests.bench.figures import Figure
from tests.faults.cluster.bed import Cluster
from tests.faults.cluster.journal import ENDED, Answers, Stored, doubles, losses, unended
from tests.faults.cluster.members import Member, Restarter, until_ready
from tests.faults.cluster.staleness import Staleness
from tests.faults.cluster.tenants import Tenant, settle, stored
from tests.faults.cluster.traffic import Traffic

TENANTS = 50
MOVED = 4  # of them, whose aliases tell how stale a replica is
SHORTEST_S, LONGEST_S = 6.0, 16.0  # between two kills: a life is some seconds longer than a start
WORKER_ALONE = 0.3  # of the kills of replicas
ENDS_S = 60.0  # once nobody is killed any more: until every write is answered, and then until every job has ended
WATCHED_S = 300.0  # what is late is waited for so long, to tell it from what never ends


def run(cluster: Cluster, seconds: float, seed: int) -> list[Figure]:
    busy = settle(cluster, [f"t{number:02}" for number in range(TENANTS - MOVED)])
    moved = settle(cluster, [f"m{number:02}" for number in range(MOVED)], versions=2)
    answers = Answers()
    with ExitStack() as stack:
        restarter = Restarter(cluster.members)
        stack.callback(restarter.close)
        traffic = Traffic(cluster, busy, seed, answers)
        stack.callback(traffic.close)
        staleness = Staleness(cluster, moved, seed)
        stack.callback(staleness.close)
        killed = _kill(cluster.members, seconds, random.Random(seed))
        staleness.close()
        until_ready(cluster.members)
        ready = time.monotonic()
        traffic.close()
        answered = time.monotonic()
        found = _ended(cluster, [*busy, *moved], answered)
        took = time.monotonic() - answered
    return [
        *_told([*busy, *moved], found, answers, killed, took),
        Figure(
            "answers that are no refusal and no answer", len(traffic.unexpected), "", 0, note=_few(traffic.unexpected)
        ),
        Figure("writes that were cut off: all answered after", answered - ready, "s", ENDS_S),
        *_stale(staleness),
        Figure("requests", sum(traffic.statuses.values()), "", note=_counted(traffic.statuses)),
    ]


def _kill(members: list[Member], seconds: float, chance: random.Random) -> Counter[str]:
    """Either a whole member, or a replica's worker alone, which its supervisor replaces."""
    never, killed, until = threading.Event(), Counter[str](), time.monotonic() + seconds
    while True:
        never.wait(chance.uniform(SHORTEST_S, LONGEST_S))
        if time.monotonic() > until:
            return killed
        member = chance.choice(members)
        if member.kind == "serve" and chance.random() < WORKER_ALONE:
            member.kill_worker()
            killed["a replica's worker"] += 1
        else:
            member.kill()
            killed["replica" if member.kind == "serve" else "trainer"] += 1


@dataclass(frozen=True, slots=True)
class _Found:
    tenant: Tenant
    stored: Stored


def _ended(cluster: Cluster, tenants: list[Tenant], since: float) -> list[_Found]:
    """What is stored of each, once all its jobs have ended, in time or not, or nobody waits any more."""

    def look(tenant: Tenant) -> _Found:
        never = threading.Event()
        with cluster.connect(0) as http:
            while True:
                found = _Found(tenant, stored(http, tenant))
                ended = all(job.status in ENDED for job in found.stored.jobs)
                if ended or time.monotonic() - since > WATCHED_S:
                    return found
                never.wait(0.5)

    return list(ThreadPoolExecutor(4).map(look, tenants))


def _told(
    tenants: list[Tenant], found: list[_Found], answers: Answers, killed: Counter[str], took: float
) -> list[Figure]:
    lost = [f"{one.tenant.name}: {what}" for one in found for what in losses(one.tenant.told, one.stored)]
    twice = [f"{one.tenant.name}: {what}" for one in found for what in doubles(one.tenant.told, one.stored)]
    endless = [what for one in found for what in unended(one.stored)]
    jobs = Counter(f"{job.status} {job.code}".strip() for one in found for job in one.stored.jobs)
    told = [tenant.told for tenant in tenants]
    writes = {
        "batches": sum(len(one.batches) for one in told),
        "jobs": sum(len(one.jobs) for one in told),
        "versions": sum(len(one.versions) for one in told),
        "moves": sum(len(one.moves) for one in told),
    }
    return [
        Figure("kills", sum(killed.values()), "", note=_counted(killed)),
        Figure("acknowledged writes", sum(writes.values()), "", note=_counted(Counter(writes))),
        Figure("of these lost", len(lost), "", 0, note=_few(lost)),
        Figure("done twice", len(twice), "", 0, note=_few(twice)),
        Figure("rows answered and compared", answers.compared, ""),
        Figure("of these another tenant's", len(answers.foreign), "", 0, note=_few(answers.foreign)),
        Figure("of these not their version's", len(answers.mixed), "", 0, note=_few(answers.mixed)),
        Figure("jobs", sum(jobs.values()), "", note=_counted(jobs)),
        Figure("of these not ended", len(endless), "", 0, note=_few(endless)),
        Figure("all ended after the last write", took, "s", ENDS_S),
    ]


def _stale(staleness: Staleness) -> list[Figure]:
    note = f"{len(staleness.seconds)} moves between replicas that lived; {staleness.spoilt} others"
    if not staleness.seconds:
        return [Figure("alias staleness", None, "s", 1.0, note=note)]
    p50, p99 = np.percentile(staleness.seconds, [50, 99])
    return [
        Figure("alias staleness p50", float(p50), "s", note=note),
        Figure("alias staleness p99", float(p99), "s", 1.0, note=f"longest {max(staleness.seconds):.2f} s"),
    ]


def _few(told: list[str]) -> str:
    return "; ".join(told[:5])


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
