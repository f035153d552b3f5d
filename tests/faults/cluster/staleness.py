"""From the reply to a move at one replica to the first prediction by the other that heeds it."""

from __future__ import annotations

import random
import threading
import time

import httpx

from tests.faults.cluster.bed import REPLICAS, Cluster
from tests.faults.cluster.tenants import PATH, Tenant

GIVEN_UP_S = 15.0  # a move that is not seen by then is counted with this
LOOK_EVERY_S = 0.005
PAUSE_S = 0.2


class Staleness:
    """Moves the aliases of tenants that are its own, with two versions each. `seconds` are of replicas that lived on.

    A move whose replicas one of them was killed or had just started proves nothing of the others: `spoilt` counts it.
    """

    def __init__(self, cluster: Cluster, tenants: list[Tenant], seed: int) -> None:
        self._cluster = cluster
        self._tenants = tenants
        self._chance = random.Random(seed)
        self.seconds: list[float] = []
        self.spoilt = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        clients = [self._cluster.connect(number, timeout_s=5) for number in range(REPLICAS)]
        while not self._closed.wait(PAUSE_S):
            tenant = self._chance.choice(self._tenants)
            mover = self._chance.randrange(REPLICAS)
            lives = self._lives()
            try:
                took = self._measure(clients[mover], clients[1 - mover], tenant)
            except httpx.HTTPError:
                took = None
            if took is None or lives != self._lives() or not all(member.ready for member in self._cluster.replicas):
                self.spoilt += 1
            else:
                self.seconds.append(took)
        for client in clients:
            client.close()

    def _measure(self, mover: httpx.Client, other: httpx.Client, tenant: Tenant) -> float | None:
        ask = {"inputs": tenant.texts[:1]}
        before = other.post(f"{PATH}/predict", json=ask, headers=tenant.headers).raise_for_status().json()["version"]
        wanted = 3 - before
        body = {"version": wanted}
        mover.put(f"{PATH}/aliases/live", json=body, headers=tenant.headers).raise_for_status()
        tenant.told.moves.append(wanted)
        moved = time.monotonic()
        while (since := time.monotonic() - moved) < GIVEN_UP_S:
            reply = other.post(f"{PATH}/predict", json=ask, headers=tenant.headers)
            if reply.raise_for_status().json()["version"] == wanted:
                return time.monotonic() - moved
            self._closed.wait(LOOK_EVERY_S)
        return since

    def _lives(self) -> list[int]:
        return [member.life for member in self._cluster.replicas]
