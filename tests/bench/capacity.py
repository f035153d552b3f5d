"""What a fleet of replicas needs, reckoned and simulated: waits, heads in memory, reads of the database.

A replica is some servers (cores that run passes), each with a queue and heads of its own, and each gets as much of the
traffic as another. A pass takes all that waits, so that the busier a server is, the more rows share what it costs by
itself; what each row costs, the work around it too, they do not share. A request whose tenant's head is not in memory
reads it before it waits.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALVINGS = 60  # of an interval in search of a root: to the last bit


@dataclass(frozen=True, slots=True)
class Replica:
    """`servers`, of each of which a pass of n rows takes `pass_s + n * row_s`.

    `heads` is how many tenants' fit in a server's memory, `load_s` what reading one takes.
    """

    servers: int
    pass_s: float
    row_s: float
    heads: int
    load_s: float

    @property
    def most_per_s(self) -> float:
        return self.servers / self.row_s


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


class Shared:
    """Rows that come to one server without memory of each other, `per_s` of them, and share its passes.

    Bailey 1954, "On queueing processes with bulk service": how many rows a pass has depends on how long the one before
    took, and on nothing else. Passes have no largest size here: a server with so many rows waiting is too full anyway.
    """

    def __init__(self, per_s: float, pass_s: float, row_s: float) -> None:
        if per_s * row_s >= 1:
            raise ValueError("more rows come than can be served, however they share passes")
        mean = max(1.0, per_s * pass_s / (1 - per_s * row_s))
        most = math.ceil(mean + 12 * math.sqrt(mean / (1 - per_s * row_s)) + 12)  # more come in hardly any pass
        self._took = pass_s + row_s * np.arange(1.0, most + 1, dtype=np.float64)
        self._come = _poisson(per_s * self._took, most)  # (a pass's rows, how many came meanwhile, from 0)
        after = self._come[:, 1:].copy()
        after[:, 0] += self._come[:, 0]  # where nobody came the next one has a pass of its own
        passes = np.full(most, 1 / most)
        for _ in range(HALVINGS * 4):
            passes = passes @ after
            passes /= passes.sum()
        idle = float(passes @ self._come[:, 0]) / per_s
        busy = passes * self._took
        self._idle = idle / (idle + float(busy.sum()))
        self._busy = busy / (idle + float(busy.sum()))  # what share of the time such a pass runs

    def longer(self, than: float) -> float:
        """The share of rows that take longer, in seconds: what is left of the running pass, and their own."""
        left = than - self._took  # after one's own pass, of each size
        over = np.clip(1 - left[None, :] / self._took[:, None], 0, 1)  # (the running one, one's own)
        late = float(self._busy @ (self._come[:, :-1] * over).sum(axis=1))
        return late + (self._idle if self._took[0] > than else 0.0)


def reckoned(replica: Replica, per_s: float, of: NDArray[np.float64]) -> Outcome:
    """Infinite times where more come than can be served."""
    gone, each = missed(of, replica.heads), per_s / replica.servers
    if each * replica.row_s >= 1:
        return Outcome(math.inf, math.inf, gone)
    shared = Shared(each, replica.pass_s, replica.row_s)

    def longer(than: float) -> float:
        return (1 - gone) * shared.longer(than) + gone * shared.longer(than - replica.load_s)

    return Outcome(_least(longer, 0.5), _least(longer, 0.01), gone)


def simulated(
    replica: Replica, per_s: float, of: NDArray[np.float64], requests: int, random: np.random.Generator
) -> Outcome:
    """The same of one server, played through: rows that come at random, a real LRU.

    The first half warms the memory and is not counted.
    """
    arrivals = np.cumsum(random.exponential(replica.servers / per_s, requests))
    tenants = random.choice(len(of), requests, p=of).tolist()
    resident: OrderedDict[int, None] = OrderedDict()
    cold = np.zeros(requests, bool)
    for number, tenant in enumerate(tenants):
        cold[number] = tenant not in resident
        resident[tenant] = None
        resident.move_to_end(tenant)
        if len(resident) > replica.heads:
            resident.popitem(last=False)
    ready = arrivals + replica.load_s * cold
    order = np.argsort(ready)
    ends, free, first = np.empty(requests), 0.0, 0
    while first < requests:
        start = max(free, float(ready[order[first]]))
        last = int(np.searchsorted(ready, start, side="right", sorter=order))
        free = start + replica.pass_s + replica.row_s * (last - first)
        ends[order[first:last]] = free
        first = last
    counted = slice(requests // 2, None)
    p50, p99 = np.quantile((ends - arrivals)[counted], [0.5, 0.99]).tolist()
    return Outcome(p50, p99, float(cold[counted].mean()))


def replicas_for(replica: Replica, per_s: float, of: NDArray[np.float64], p99_s: float, busy: float) -> int:
    """The fewest of them that share `per_s` evenly, each with all tenants, within `p99_s` and `busy` of its most."""
    count = max(1, math.ceil(per_s / (busy * replica.most_per_s)))
    while reckoned(replica, per_s / count, of).p99_s > p99_s:
        count += 1
    return count


def _least(longer: Callable[[float], float], share: float) -> float:
    """The time that no more than `share` of the rows take longer than."""
    low, high = 0.0, 1e-3
    while longer(high) > share:
        high *= 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if longer(middle) > share else (low, middle)
    return high


def _poisson(means: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """The chances of 0 to `most` where so many are expected, (means, most + 1)."""
    counts = np.arange(most + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])
    return np.exp(counts * np.log(means)[:, None] - means[:, None] - log_factorials)
