"""One lane's waiting rows, and whose turn it is: fair between tenants, charged in tokens."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tsugiki.runtime.backlog import Backlog
from tsugiki.runtime.route import OwnNetwork

if TYPE_CHECKING:
    from tsugiki.runtime.route import Kin
    from tsugiki.runtime.tickets import Row, Ticket

MOST = 0.5  # of a pass's tokens: a tenant with more of it owns the pass, and another's row need not wait for its end
JOINING = 1 / 16  # of a pass's tokens: what a flood may add to others' rows, on engines that gain by large passes
STRETCH = 1.5  # a pass takes rows of up to this times one another's length: then padding stays under a third of it


def owner_of(rows: Sequence[Row]) -> str | None:
    """The tenant with most of their tokens, if one has."""
    tokens = Counter[str]()
    for row in rows:
        tokens[row.ticket.tenant_id] += row.size
    tenant_id, most = tokens.most_common(1)[0]
    return tenant_id if most > MOST * tokens.total() else None


class FairQueue:
    """Rows by length and kin, each line in the order of its tenants' virtual times. Not thread-safe.

    Start-time fair queueing (Goyal, Vin, Cheng 1996): a tenant's virtual time grows by the tokens it was served, the
    least goes first, and one that comes anew starts at what is being served now, or where it had got to if that is
    later: who always has one row in a pass and none waiting gets no more than who waits. So tenants with rows waiting
    get the same tokens whatever their rows' lengths; the bound is deficit round robin's, without a quantum to choose.
    """

    def __init__(self) -> None:
        self.size = 0  # rows, whether or not somebody still waits for them
        self._backlog = Backlog()  # of those that somebody waits for, unpadded
        self._now = 0.0  # virtual
        self._arrivals = 0
        self._tenants: dict[str, _Tenant] = {}  # with rows waiting
        self._served = _Served()  # those without
        self._lines: dict[_Place, _Line] = {}

    @property
    def tokens(self) -> int:
        """Of all rows that somebody waits for, unpadded."""
        return self._backlog.tokens

    def of(self, tenant_id: str) -> Waiting:
        tenant = self._tenants.get(tenant_id)
        return NOTHING if tenant is None else Waiting(tenant.rows, tenant.tokens)

    def ahead(self, tenant_id: str, tokens: int) -> int:
        """Tokens that are served before the last of so many more of the tenant's, if nothing else comes.

        Not those of a flood: until then its tenant gets no more than this one. See `Backlog` for how exact it is.
        """
        waiting = self.of(tenant_id).tokens
        return self._backlog.served_by(waiting + tokens)

    def push(self, row: Row) -> None:
        tenant = self._tenants.get(row.ticket.tenant_id)
        if tenant is None:
            tenant_id = row.ticket.tenant_id
            virtual = max(self._now, self._served.take(tenant_id, self._now))
            tenant = self._tenants[tenant_id] = _Tenant(tenant_id, virtual)
        route = row.ticket.route
        place = _Place(row.size, None if route is None else route.kin)
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = _Line()
        line.push(tenant, self._arrivals, row)
        self._arrivals += 1
        self.size += 1
        tenant.rows += 1
        row.ticket.waiting += row.size
        self._owe(tenant, row.size)

    def leave(self, ticket: Ticket) -> None:
        """Nobody waits for its rows any more: they are no work, though they stay where they are until their turn."""
        if ticket.waiting:
            self._owe(self._tenants[ticket.tenant_id], -ticket.waiting)
            ticket.waiting = 0

    def leader(self) -> str | None:
        """The tenant whose turn it is; None when nothing waits."""
        lead = self._lead()
        return None if lead is None else self._lines[lead].first().tenant.id

    def fills(self, tokens: int) -> bool:
        """Whether the next pass would have about as many `tokens`: what waits near the leading row, whoever's it is."""
        if self.tokens < tokens or (lead := self._lead()) is None:
            return False
        near = [place for place in self._near(lead) if _share(lead.kin, place.kin)]
        return sum(place.length * self._lines[place].size for place in near) >= tokens

    def take(self, tokens: int) -> list[Row]:
        """The next pass: at most `tokens` with padding, but at least one row; empty when nothing waits.

        The tenant with the least virtual time leads with its oldest row; rows of near lengths and the same kin join.
        If only one tenant still has rows to add to other tenants' rows, it may add as many tokens as they have, or
        `JOINING` of a pass if that is more: filling the pass up could make the others wait ten times as long. Rows
        whose caller has left are dropped.
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
            tenant.rows -= 1
            if row.ticket.waiting:  # else it has left
                row.ticket.waiting -= row.size
                self._owe(tenant, -row.size)
            if not row.ticket.future.cancelled():
                self._now = max(self._now, tenant.virtual)
                tenant.virtual += place.length
                run.add(tenant, place.length)
                rows.append(row)
            if not tenant.rows:
                del self._tenants[tenant.id]
                self._served.put(tenant)
        if not line.rows:
            del self._lines[place]
        if not self.size:
            self._served.forget()  # where nobody waits, nobody is ahead of another
        return rows

    def _owe(self, tenant: _Tenant, tokens: int) -> None:
        self._backlog.change(tenant.tokens, tenant.tokens + tokens)
        tenant.tokens += tokens


def _share(kin: Kin, other: Kin) -> bool:
    """Whether rows of these kin go in one pass."""
    return kin == other or (None in (kin, other) and not any(isinstance(one, OwnNetwork) for one in (kin, other)))


class Waiting(NamedTuple):
    """What a tenant has: `rows` whether or not somebody still waits for them, `tokens` of those only."""

    rows: int
    tokens: int


NOTHING = Waiting(0, 0)


class _Place(NamedTuple):
    length: int
    kin: Kin


@dataclass(slots=True, eq=False)
class _Tenant:
    id: str
    virtual: float
    rows: int = 0
    tokens: int = 0


class _Served:
    """How far tenants had got that have no rows waiting, as long as that is ahead of what is served."""

    def __init__(self) -> None:
        self._virtual: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []  # a heap: who is caught up with next

    def put(self, tenant: _Tenant) -> None:
        self._virtual[tenant.id] = tenant.virtual
        heapq.heappush(self._order, (tenant.virtual, tenant.id))

    def take(self, tenant_id: str, now: float) -> float:
        """0 where nothing is known."""
        while self._order and self._order[0][0] <= now:
            virtual, caught_up = heapq.heappop(self._order)
            if self._virtual.get(caught_up) == virtual:
                del self._virtual[caught_up]
        return self._virtual.pop(tenant_id, 0.0)

    def forget(self) -> None:
        self._virtual.clear()
        self._order.clear()


@dataclass(slots=True)
class _Run:
    """While a pass is put together: the tenant that added the latest rows, the tokens it added without a break, and the
    tokens already there before.
    """

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
        self.size = 0  # rows
        self.rows: dict[str, deque[tuple[int, Row]]] = {}
        self._turns: list[_Turn] = []

    def push(self, tenant: _Tenant, arrival: int, row: Row) -> None:
        waiting = self.rows.get(tenant.id)
        if waiting is None:
            waiting = self.rows[tenant.id] = deque()
            heapq.heappush(self._turns, _Turn(tenant.virtual, arrival, tenant))
        waiting.append((arrival, row))
        self.size += 1

    def first(self) -> _Turn:
        """Whose turn it is; the line has rows."""
        while (turn := self._turns[0]).virtual < turn.tenant.virtual:
            heapq.heapreplace(self._turns, turn._replace(virtual=turn.tenant.virtual))
        return turn

    def pop(self) -> _Taken:
        tenant = self.first().tenant
        waiting = self.rows[tenant.id]
        _, row = waiting.popleft()
        self.size -= 1
        if waiting:
            heapq.heapreplace(self._turns, _Turn(tenant.virtual, waiting[0][0], tenant))
        else:
            heapq.heappop(self._turns)
            del self.rows[tenant.id]
        return _Taken(tenant, row)
