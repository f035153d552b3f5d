"""What a fleet of replicas needs, reckoned and simulated: waits, heads in memory, reads of the database.

A replica is some servers (cores that run passes) behind one queue; each request takes one of them for its service,
and first loads its tenant's head where that is not in memory. What passes gain by being shared is left out, so the
reckoning is of a fleet that is never fuller than it says.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALVINGS = 60  # of an interval in search of a root: to the last bit


@dataclass(frozen=True, slots=True)
class Replica:
    """`service_s` is one request's of one server; `heads` how many tenants' fit in memory; `load_s` one head's."""

    servers: int
    service_s: float
    heads: int
    load_s: float

    @property
    def most_per_s(self) -> float:
        return self.servers / self.service_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """Times from arrival to answer, in seconds; `missed` is the share of requests that loaded a head."""

    p50_s: float
    p99_s: float
    missed: float


def shares(tenants: int, exponent: float) -> NDArray[np.float64]:
    """Of the traffic: the k-th tenant's is as k to minus the exponent (Zipf); 0 is alike for all."""
    weights = np.arange(1, tenants + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def missed(of: NDArray[np.float64], heads: int) -> float:
    """The share of requests whose head is not in memory, least recently used going first.

    Che, Tung, Wang 2002, "Hierarchical Web caching systems": a head stays for a time that is alike for all, such that
    as many as fit are there in the mean.
    """
    if heads >= len(of):
        return 0.0
    low, high = 0.0, 1.0 / float(of.min())
    while float((-np.expm1(-of * high)).sum()) < heads:
        high *= 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if float((-np.expm1(-of * middle)).sum()) < heads else (low, middle)
    return float((of * np.exp(-of * high)).sum())


def waiting(per_s: float, servers: int, service_s: float) -> float:
    """The chance that a request finds all servers busy (Erlang 1917), arrivals and services being of no memory."""
    load = per_s * service_s
    if load >= servers:
        return 1.0
    blocked = 1.0
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def late(per_s: float, servers: int, service_s: float, share: float = 0.01) -> float:
    """The time (s) that `share` of the requests take longer than; infinite where more come than can be served."""
    spare = servers / service_s - per_s
    if spare <= 0:
        return math.inf
    rate, queued = 1 / service_s, waiting(per_s, servers, service_s)

    def longer(than: float) -> float:
        """Of M/M/c: served at once, or after an exponential wait."""
        if abs(spare - rate) < 1e-9 * rate:
            return math.exp(-rate * than) * (1 + queued * rate * than)
        waited = queued * rate / (rate - spare) * (math.exp(-spare * than) - math.exp(-rate * than))
        return math.exp(-rate * than) + waited

    low, high = 0.0, service_s
    while longer(high) > share:
        high *= 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if longer(middle) > share else (low, middle)
    return high


def reckoned(replica: Replica, per_s: float, of: NDArray[np.float64]) -> Outcome:
    gone = missed(of, replica.heads)
    service = replica.service_s + gone * replica.load_s
    return Outcome(late(per_s, replica.servers, service, 0.5), late(per_s, replica.servers, service), gone)


def simulated(
    replica: Replica, per_s: float, of: NDArray[np.float64], requests: int, random: np.random.Generator
) -> Outcome:
    """The same, played through: Poisson arrivals, exponential services, first come first served, a real LRU.

    The first half warms the memory and is not counted.
    """
    arrivals = np.cumsum(random.exponential(1 / per_s, requests)).tolist()
    tenants = random.choice(len(of), requests, p=of).tolist()
    services = random.exponential(replica.service_s, requests).tolist()
    free = [0.0] * replica.servers
    resident: OrderedDict[int, None] = OrderedDict()
    taken: list[float] = []
    loads = 0
    for number, (arrival, tenant, service) in enumerate(zip(arrivals, tenants, services, strict=True)):
        cold = tenant not in resident
        resident[tenant] = None
        resident.move_to_end(tenant)
        if len(resident) > replica.heads:
            resident.popitem(last=False)
        start = max(arrival, heapq.heappop(free))
        end = start + service + (replica.load_s if cold else 0.0)
        heapq.heappush(free, end)
        if number >= requests // 2:
            taken.append(end - arrival)
            loads += cold
    p50, p99 = np.quantile(taken, [0.5, 0.99]).tolist()
    return Outcome(p50, p99, loads / len(taken))


def replicas_for(replica: Replica, per_s: float, of: NDArray[np.float64], p99_s: float, busy: float) -> int:
    """The fewest of them that share `per_s` evenly, each with all tenants, within `p99_s` and `busy` of its most."""
    count = max(1, math.ceil(per_s / (busy * replica.most_per_s)))
    while reckoned(replica, per_s / count, of).p99_s > p99_s:
        count += 1
    return count
