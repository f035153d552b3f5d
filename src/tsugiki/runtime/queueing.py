"""One lane's waiting rows, and whose turn it is: fair between tenants, charged in tokens."""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tsugiki.observed import ORIGIN, Origin, Waiter
from tsugiki.runtime.route import OwnNetwork

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Prepared
    from tsugiki.errors import TsugikiError
    from tsugiki.runtime.route import Kin, Route

MOST = 0.5  # of a pass's tokens: a tenant with more of it owns the pass, and another's row need not wait for its end
JOINING = 1 / 16  # of a pass's tokens: what a flood may add to others' rows, on engines that gain by large passes
STRETCH = 1.5  # a pass takes rows of up to this times one another's length: then padding stays under a third of it


@dataclass(frozen=True, slots=True)
class Replies:
    """One reply a row, in order. `engine_s` is how long the passes of these rows ran, together."""

    replies: list[Floats | TsugikiError]
    engine_s: float


@dataclass(slots=True, eq=False)
class Ticket:
    """One caller's rows: replies are gathered here until none is missing. Several workers may deliver at once.

    `future` is a thread's or a task's, whoever waits. `queued` is of the performance counter, in seconds.
    """

    tenant_id: str
    route: Route | None
    replies: list[Floats | TsugikiError | None]
    missing: int
    future: Future[Replies] | asyncio.Future[Replies]
    engine_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    origin: Origin = field(default_factory=ORIGIN.get)
    queued: float = field(default_factory=time.perf_counter)

    def deliver(self, index: int, reply: Floats | TsugikiError, engine_s: float) -> bool:
        """Whether it was the last one missing. `engine_s` is the row's share of its pass."""
        with self.lock:
            self.replies[index] = reply
            self.missing -= 1
            self.engine_s += engine_s
            return self.missing == 0

    def gathered(self) -> Replies:
        return Replies([reply for reply in self.replies if reply is not None], self.engine_s)


def _settle(tickets: Sequence[Ticket]) -> None:
    """Tell those who wait for tickets of which nothing is missing: an event loop is woken once for all of its own."""
    looped: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Replies], Ticket]]] = {}
    for ticket in tickets:
        future = ticket.future
        if isinstance(future, asyncio.Future):
            looped.setdefault(future.get_loop(), []).append((future, ticket))
        elif future.set_running_or_notify_cancel():
            future.set_result(ticket.gathered())
    for loop, waiting in looped.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle_here, waiting)


def _settle_here(waiting: Sequence[tuple[asyncio.Future[Replies], Ticket]]) -> None:
    """In the loop that they wait in."""
    for future, ticket in waiting:
        if not future.done():
            future.set_result(ticket.gathered())


@dataclass(slots=True, eq=False)
class Row:
    ticket: Ticket
    index: int
    prepared: Prepared

    @property
    def size(self) -> int:
        """In tokens."""
        return self.prepared.size


def deliver(rows: Sequence[Row], replies: Sequence[Floats | TsugikiError], engine_s: float) -> None:
    """A reply a row, of a pass of so many seconds."""
    share = engine_s / len(rows)
    _settle(
        [row.ticket for row, reply in zip(rows, replies, strict=True) if row.ticket.deliver(row.index, reply, share)]
    )


def padded(rows: Sequence[Row]) -> int:
    """Tokens of a pass of them."""
    return len(rows) * max(row.size for row in rows)


def owner_of(rows: Sequence[Row]) -> str | None:
    """The tenant with most of their tokens, if one has."""
    tokens = Counter[str]()
    for row in rows:
        tokens[row.ticket.tenant_id] += row.size
    tenant_id, most = tokens.most_common(1)[0]
    return tenant_id if most > MOST * tokens.total() else None


def waiters_of(rows: Sequence[Row]) -> tuple[Waiter, ...]:
    counts: dict[Ticket, int] = {}
    for row in rows:
        counts[row.ticket] = counts.get(row.ticket, 0) + 1
    return tuple(Waiter(ticket.origin, count, ticket.queued) for ticket, count in counts.items())


class FairQueue:
    """Rows by length and kin, each line in the order of its tenants' virtual times. Not thread-safe.

    Start-time fair queueing (Goyal, Vin, Cheng 1996): a tenant's virtual time grows by the tokens it was served, the
    least goes first, and one that comes anew starts at what is being served now. So tenants with rows waiting get the
    same tokens whatever their rows' lengths; the bound is deficit round robin's, without a quantum to choose.
    """

    def __init__(self) -> None:
        self.size = 0
        self.tokens = 0  # of all rows, unpadded
        self._now = 0.0  # virtual
        self._arrivals = 0
        self._tenants: dict[str, _Tenant] = {}
        self._lines: dict[_Place, _Line] = {}

    def waiting(self, tenant_id: str) -> int:
        """Rows of the tenant."""
        tenant = self._tenants.get(tenant_id)
        return 0 if tenant is None else tenant.rows

    def push(self, row: Row) -> None:
        tenant = self._tenants.get(row.ticket.tenant_id)
        if tenant is None:
            tenant = self._tenants[row.ticket.tenant_id] = _Tenant(row.ticket.tenant_id, self._now)
        route = row.ticket.route
        place = _Place(row.size, None if route is None else route.kin)
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = _Line()
        line.push(tenant, self._arrivals, row)
        self._arrivals += 1
        self.size += 1
        self.tokens += row.size
        tenant.rows += 1

    def leader(self) -> str | None:
        """The tenant whose turn it is; None when nothing waits."""
        lead = self._lead()
        return None if lead is None else self._lines[lead].first().tenant.id

    def take(self, tokens: int) -> list[Row]:
        """The next pass: at most `tokens` with padding, but at least one row; empty when nothing waits.

        The tenant with the least virtual time leads with its oldest row; rows of near lengths and the same kin join.
        Where only one tenant's are left to join others', no more of them do than there are of these, or `JOINING` of a
        pass: one full of a flood's takes ten times as long as a lone row. Rows whose caller has left are dropped.
        """
        while (lead := self._lead()) is not None:
            batch: list[Row] = []
            run = _Run(JOINING * tokens)
            kin, longest = lead.kin, lead.length
            for place in self._near(lead):
                if not _share(kin, place.kin):
                    continue
                room = max(1 if place == lead else 0, tokens // max(longest, place.length) - len(batch))
                if rows := self._pop(place, room, run):
                    batch += rows
                    longest, kin = max(longest, place.length), kin or place.kin
            if batch:
                return batch
        return []

    def _lead(self) -> _Place | None:
        """Where the row is whose turn it is."""
        return min(self._lines, key=lambda place: self._lines[place].first()[:2], default=None)

    def _near(self, lead: _Place) -> list[_Place]:
        """The lead's line, then those of near lengths, nearest first, without an adapter before with one."""
        near = [
            place
            for place in self._lines
            if place != lead and max(place.length, lead.length) <= STRETCH * min(place.length, lead.length)
        ]
        near.sort(key=lambda place: (abs(place.length - lead.length), place.kin is not None))
        return [lead, *near]

    def _pop(self, place: _Place, limit: int, run: _Run) -> list[Row]:
        """Up to `limit` rows that somebody still waits for, in turn, as far as `run` lets them join."""
        line = self._lines[place]
        rows: list[Row] = []
        while line.rows and len(rows) < limit and run.lets(line.first().tenant, place.length):
            tenant, row = line.pop()
            self.size -= 1
            self.tokens -= place.length
            tenant.rows -= 1
            if not tenant.rows:
                del self._tenants[tenant.id]
            if not row.ticket.future.cancelled():
                self._now = max(self._now, tenant.virtual)
                tenant.virtual += place.length
                run.add(tenant, place.length)
                rows.append(row)
        if not line.rows:
            del self._lines[place]
        return rows


def _share(kin: Kin, other: Kin) -> bool:
    """Whether rows of these kin go in one pass."""
    return kin == other or (None in (kin, other) and not any(isinstance(one, OwnNetwork) for one in (kin, other)))


class _Place(NamedTuple):
    length: int
    kin: Kin


@dataclass(slots=True, eq=False)
class _Tenant:
    id: str
    virtual: float
    rows: int = 0


@dataclass(slots=True)
class _Run:
    """Tokens that the tenant who joined a pass last has added one row after another, and those there were before."""

    free: float  # of any run
    tenant: _Tenant | None = None
    tokens: int = 0
    before: int = 0

    def lets(self, tenant: _Tenant, length: int) -> bool:
        """Whether a row of the tenant may join: turns are fair, so only one who is left alone gets many at once."""
        if tenant is not self.tenant or not self.before:
            return True
        return self.tokens + length <= max(self.before, self.free)

    def add(self, tenant: _Tenant, length: int) -> None:
        if tenant is not self.tenant:
            self.tenant, self.tokens, self.before = tenant, 0, self.before + self.tokens
        self.tokens += length


class _Turn(NamedTuple):
    virtual: float
    arrival: int  # of the tenant's oldest row here: no two are equal, so nothing behind it is compared
    tenant: _Tenant


class _Taken(NamedTuple):
    tenant: _Tenant
    row: Row


class _Line:
    """The rows of one place by tenant, and a heap of whose turn it is.

    Virtual times only grow, so an entry that was overtaken is found at the top and put where it belongs then.
    """

    def __init__(self) -> None:
        self.rows: dict[str, deque[tuple[int, Row]]] = {}
        self._turns: list[_Turn] = []

    def push(self, tenant: _Tenant, arrival: int, row: Row) -> None:
        waiting = self.rows.get(tenant.id)
        if waiting is None:
            waiting = self.rows[tenant.id] = deque()
            heapq.heappush(self._turns, _Turn(tenant.virtual, arrival, tenant))
        waiting.append((arrival, row))

    def first(self) -> _Turn:
        """Whose turn it is; the line has rows."""
        while (turn := self._turns[0]).virtual < turn.tenant.virtual:
            heapq.heapreplace(self._turns, turn._replace(virtual=turn.tenant.virtual))
        return turn

    def pop(self) -> _Taken:
        tenant = self.first().tenant
        waiting = self.rows[tenant.id]
        _, row = waiting.popleft()
        if waiting:
            heapq.heapreplace(self._turns, _Turn(tenant.virtual, waiting[0][0], tenant))
        else:
            heapq.heappop(self._turns)
            del self.rows[tenant.id]
        return _Taken(tenant, row)
