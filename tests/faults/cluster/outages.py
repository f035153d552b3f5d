"""What answers while a server that all replicas need is away, what is refused, and when everything is well again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

import httpx

from tests.bench.figures import Figure
from tests.faults.cluster.bed import REPLICAS, Cluster
from tests.faults.cluster.tenants import PATH, Tenant, settle

RESTARTS = 5
BETWEEN_S = 6.0  # the server is up again for so long before it is restarted
BEFORE_S, AFTER_S = 3.0, 5.0  # of traffic around each outage
RESIDENT_S = 2.0  # a key is asked about for a second before it is taken as it was
REFUSED_S = 15.0  # a turn at the database, a connection that does not answer, and another that is not made
HEALED_S = 60.0
WATCHED_S = 240.0  # what is late is waited for so long, to tell it from what never heals
TENANTS = 12
PAUSE_S = 0.05
ASK_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Asked:
    """Replies of one kind of request, by what became of them."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    bad: list[str] = field(default_factory=list[str])
    longest_s: float = 0.0

    def add(self, what: str, took_s: float, *, bad: str = "") -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.longest_s = max(self.longest_s, took_s)
        if bad:
            self.bad.append(bad)

    @property
    def note(self) -> str:
        told = ", ".join(f"{count} × {what}" for what, count in sorted(self.counts.items()))
        return told + "".join(f"; {bad}" for bad in self.bad[:2])


class Callers:
    """A thread a replica for each kind: predictions of resident tenants, of versions that are not, and writes."""

    def __init__(self, cluster: Cluster, tenants: Sequence[Tenant], cold: Sequence[Tenant]) -> None:
        self._cluster = cluster
        self._closed = threading.Event()
        self.resident, self.cold, self.writes = Asked(), Asked(), Asked()
        self._began = time.monotonic()
        self._threads = [
            threading.Thread(target=self._run, args=(replica, asked, ask, among, pause_s, strict))
            for replica in range(REPLICAS)
            for asked, ask, among, pause_s, strict in (
                (self.resident, _predict, list(tenants), PAUSE_S, True),
                (self.cold, _predict_first, list(cold), 2.0, False),
                (self.writes, _write, list(tenants), 0.5, False),
            )
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def _run(
        self,
        replica: int,
        asked: Asked,
        ask: Callable[[httpx.Client, Tenant], httpx.Response],
        among: list[Tenant],
        pause_s: float,
        strict: bool,
    ) -> None:
        number = 0
        with self._cluster.connect(replica, timeout_s=ASK_TIMEOUT_S) as http:
            while not self._closed.wait(pause_s):
                tenant, number = among[number % len(among)], number + 1
                began = time.monotonic()
                at = f"{began - self._began:.1f} s, replica {replica}"
                try:
                    reply = ask(http, tenant)
                except httpx.TransportError as error:
                    asked.add(type(error).__name__, time.monotonic() - began, bad=f"{type(error).__name__} at {at}")
                    continue
                good = reply.status_code in (200, 202)
                refused = reply.status_code == 503 and "retry-after" in reply.headers and not strict
                bad = "" if good or refused else f"{reply.status_code} at {at}: {reply.text[:150]}"
                asked.add(str(reply.status_code), time.monotonic() - began, bad=bad)


def run(cluster: Cluster, parts: Sequence[str], away_s: float) -> list[Figure]:
    outages: dict[str, tuple[str, Callable[[], None]]] = {
        "restarts": (f"PostgreSQL restarted {RESTARTS} times", lambda: _restart(cluster)),
        "store": (f"blobs away for {away_s:g} s", lambda: _away(cluster.store.closed(), away_s)),
        "mute": (f"blobs silent for {away_s:g} s", lambda: _away(cluster.store.mute(), away_s)),
        "hole": (f"PostgreSQL silent for {away_s:g} s", lambda: _away(cluster.database.silent(), away_s)),
    }
    figures: list[Figure] = []
    for part in parts:
        title, happen = outages[part]
        figures += _during(cluster, part, title, happen)
    return figures


def _during(cluster: Cluster, part: str, title: str, happen: Callable[[], None]) -> list[Figure]:
    tenants = settle(cluster, [f"{part}-r{number:02}" for number in range(TENANTS)], versions=2)
    # Their first versions were never asked of the second replica, and are put away nowhere.
    cold = settle(cluster, [f"{part}-c{number:02}" for number in range(TENANTS)], versions=2)
    for replica in range(REPLICAS):
        with cluster.connect(replica) as http:
            for tenant in tenants:
                _predict(http, tenant).raise_for_status()
    lives = [member.pids for member in cluster.members]
    callers = Callers(cluster, tenants, cold)
    time.sleep(BEFORE_S)  # not waiting for anything: traffic as usual
    happen()
    back = time.monotonic()
    healed = _healed(cluster, tenants[:2], back)
    time.sleep(AFTER_S)
    callers.close()
    after = [member.pids for member in cluster.members]
    died = [m.name for m, was, now in zip(cluster.members, lives, after, strict=True) if was[:2] != now[:2]]
    return [
        Figure(
            f"{title}: resident predictions not answered", len(callers.resident.bad), "", 0, note=callers.resident.note
        ),
        Figure(f"{title}: the longest of them", callers.resident.longest_s, "s", RESIDENT_S),
        Figure(
            f"{title}: writes neither answered nor refused", len(callers.writes.bad), "", 0, note=callers.writes.note
        ),
        Figure(f"{title}: the longest of them", callers.writes.longest_s, "s", REFUSED_S),
        Figure(f"{title}: other predictions neither", len(callers.cold.bad), "", 0, note=callers.cold.note),
        Figure(f"{title}: the longest of them", callers.cold.longest_s, "s", REFUSED_S),
        Figure(f"{title}: all well again after", healed, "s", HEALED_S, note="head and LoRA, through both replicas"),
        Figure(f"{title}: members that had to be restarted", len(died), "", 0, note=", ".join(died)),
    ]


def _healed(cluster: Cluster, tenants: Sequence[Tenant], since: float) -> float | None:
    """The seconds until each replica takes a head and a LoRA adaptation to its end; None if one never did."""
    until = since + WATCHED_S
    for replica in range(REPLICAS):
        with cluster.connect(replica, timeout_s=ASK_TIMEOUT_S) as http:
            for method in ("head", "lora"):
                while not _adapted(http, tenants[replica], method, until):
                    if time.monotonic() > until:
                        return None
                    time.sleep(PAUSE_S)
    return time.monotonic() - since


def _adapted(http: httpx.Client, tenant: Tenant, method: str, until: float) -> bool:
    """Whether one was accepted and succeeded: it is waited for, as asking for another would only make a queue."""
    wish = {"method": method, "promote": "always", "wait_seconds": 0}
    with suppress(httpx.TransportError):
        reply = http.post(f"{PATH}/adaptations", json=wish, headers=tenant.headers)
        if reply.status_code not in (200, 202):
            return False
        job = reply.json()
        while job["finished_at"] is None and time.monotonic() < until:
            time.sleep(PAUSE_S)
            found = http.get(f"/v1/adaptations/{job['id']}", headers=tenant.headers)
            job = found.json() if found.status_code == 200 else job
        return job["status"] == "succeeded"
    return False


def _restart(cluster: Cluster) -> None:
    for number in range(RESTARTS):
        if number:
            time.sleep(BETWEEN_S)
        cluster.database.kill()
        cluster.database.start()


def _away(outage: AbstractContextManager[None], seconds: float) -> None:
    with outage:
        time.sleep(seconds)


def _predict(http: httpx.Client, tenant: Tenant) -> httpx.Response:
    return http.post(f"{PATH}/predict", json={"inputs": tenant.texts[:1]}, headers=tenant.headers)


def _predict_first(http: httpx.Client, tenant: Tenant) -> httpx.Response:
    ask = {"inputs": tenant.texts[:1]}
    return http.post(f"{PATH}/predict", params={"version": 1}, json=ask, headers=tenant.headers)


def _write(http: httpx.Client, tenant: Tenant) -> httpx.Response:
    with tenant.lock:
        tenant.batches += 1
        batch = f"{tenant.batches}"
    return http.post(f"{PATH}/samples", json={"samples": tenant.samples(batch, 1)}, headers=tenant.headers)
