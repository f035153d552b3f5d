"""Which grafts are in memory: loaded on demand, leased while in use, evicted by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from tsugiki.errors import Overloaded
from tsugiki.runtime.banks import NOTHING, Banks, Placed, Weight

if TYPE_CHECKING:
    from tsugiki.domain import Graft, Version

# A project's version by content: a name may come to mean something else, a digest cannot.
GraftKey = tuple[str, str]  # (project id, graft digest)


class Lease:
    """A resident graft that stays where it is until released, once; use as a context manager."""

    __slots__ = ("placed", "release")

    def __init__(self, placed: Placed, release: Callable[[], None]) -> None:
        self.placed = placed
        self.release = release

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Residency:
    """Grafts of all banks under one byte budget a kind of memory, least recently used first to go.

    A leased graft is never evicted; a forgotten one is freed when its last lease ends. Cold loads of one graft are
    coalesced, and nobody waits for the cold load of another. Thread-safe.
    """

    def __init__(
        self, banks_of: Callable[[Version], Banks], graft_of: Callable[[Version], Graft], budget: Weight
    ) -> None:
        self._banks_of = banks_of
        self._graft_of = graft_of
        self._budget = budget
        self._lock = threading.Lock()
        self._grafts: OrderedDict[GraftKey, _Resident] = OrderedDict()
        self._loading: dict[GraftKey, Future[None]] = {}
        self._used = NOTHING

    @property
    def resident(self) -> Weight:
        """Memory of what is resident."""
        return self._used

    @property
    def resident_grafts(self) -> int:
        return len(self._grafts)

    def lease_resident(self, version: Version) -> Lease | None:
        """A lease if the graft is in memory, else None; never blocks on a load."""
        key = (version.project_id, version.digest)
        with self._lock:
            graft = self._grafts.get(key)
            if graft is None:
                return None
            self._grafts.move_to_end(key)
            graft.leases += 1
        return Lease(graft.placed, lambda: self._release(graft))

    def lease(self, version: Version) -> Lease:
        """A lease, loading the graft first if needed. Raises ArtifactCorrupt, Overloaded, WrongFeatureSpace."""
        while True:
            if (lease := self.lease_resident(version)) is not None:
                return lease
            key = (version.project_id, version.digest)
            with self._lock:
                if key in self._grafts:
                    continue
                loading = self._loading.get(key)
                mine = loading is None
                if loading is None:
                    loading = self._loading[key] = Future()
            if mine:
                self._load(version, key, loading)
            loading.result()

    def disown(self, version: Version, placed: Placed) -> None:
        """A bank says that a slot is not the version's any more: the next lease loads the graft anew.

        Nothing is freed, for the slots may be another graft's by now.
        """
        key = (version.project_id, version.digest)
        with self._lock:
            graft = self._grafts.get(key)
            if graft is not None and graft.placed == placed:
                del self._grafts[key]
                self._used -= graft.weight

    def forget(self, project_id: str) -> None:
        """Drop a deleted project's grafts; those in use go with their last lease."""
        with self._lock:
            for key in [key for key in self._grafts if key[0] == project_id]:
                self._drop(key)
            for key in [key for key in self._loading if key[0] == project_id]:
                del self._loading[key]  # what is being read for it must not be kept

    def _load(self, version: Version, key: GraftKey, loading: Future[None]) -> None:
        try:
            graft = self._graft_of(version)
            banks = self._banks_of(version)
            incoming = banks.prepare(graft)
            with self._lock:
                if self._loading.get(key) is loading:
                    self._make_room(incoming.weight)
                    self._grafts[key] = _Resident(banks, incoming.place(), incoming.weight)
                    self._used += incoming.weight
                    del self._loading[key]
        except BaseException as error:
            with self._lock:
                if self._loading.get(key) is loading:
                    del self._loading[key]
            loading.set_exception(error)
        else:
            loading.set_result(None)

    def _make_room(self, weight: Weight) -> None:
        """A graft larger than a whole budget is still served, alone; so nothing idle is ever in its way."""
        if (over := (self._used + weight).beyond(self._budget)) == NOTHING:
            return
        for key in [key for key, graft in self._grafts.items() if not graft.leases and graft.weight.eases(over)]:
            if self._grafts[key].weight.eases(over):
                self._drop(key)
                over = (self._used + weight).beyond(self._budget)
        if any(graft.weight.eases(over) for graft in self._grafts.values()):
            raise Overloaded("every resident graft is in use and their memory is full", fix="try again shortly")

    def _drop(self, key: GraftKey) -> None:
        graft = self._grafts.pop(key)
        self._used -= graft.weight
        graft.dropped = True
        if not graft.leases:
            graft.banks.free(graft.placed)

    def _release(self, graft: _Resident) -> None:
        with self._lock:
            graft.leases -= 1
            if graft.dropped and not graft.leases:
                graft.banks.free(graft.placed)


@dataclass(slots=True, eq=False)
class _Resident:
    banks: Banks
    placed: Placed
    weight: Weight
    leases: int = 0
    dropped: bool = False
