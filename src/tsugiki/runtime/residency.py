"""Which grafts are in memory: loaded on demand, leased while in use, evicted by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from tsugiki.errors import Overloaded
from tsugiki.runtime.banks import NOTHING, Banks, Placed, Weight

if TYPE_CHECKING:
    from tsugiki.domain import Graft, Version

# A project's version by content: a name may come to mean something else, a digest cannot.
GraftKey = tuple[str, str]  # (project id, graft digest)

LOADERS = 8  # grafts read at a time: their files, and what of a graph an adapter's first needs


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
    coalesced, and nobody waits for the cold load of another, but for networks: these are built one at a time.
    Thread-safe.
    """

    def __init__(
        self, banks_of: Callable[[Version], Banks], graft_of: Callable[[Version], Graft], budget: Weight
    ) -> None:
        self._banks_of = banks_of
        self._graft_of = graft_of
        self._budget = budget
        self._lock = threading.Lock()
        self._grafts: OrderedDict[GraftKey, _Resident] = OrderedDict()
        self._leaving: set[_Resident] = set()  # forgotten, and leased still: they take their memory until then
        self._loading: dict[GraftKey, _Loading] = {}
        self._used = NOTHING
        self._reserved = NOTHING  # for what is being built
        self._loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="loading")
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="building")

    @property
    def resident(self) -> Weight:
        """Memory of what is resident."""
        return self._used

    @property
    def resident_grafts(self) -> int:
        return len(self._grafts)

    def lease_resident(self, version: Version) -> Lease | None:
        """A lease if the graft is in memory, else None; never blocks on a load."""
        with self._lock:
            return self._hold((version.project_id, version.digest))

    def lease(self, version: Version) -> Lease:
        """A lease, loading the graft first if needed. Raises ArtifactCorrupt, Overloaded, WrongFeatureSpace."""
        return self.lease_resident(version) or self.lease_soon(version).result()

    def lease_soon(self, version: Version) -> Future[Lease]:
        """The same without a thread of the caller's: however many wait for one graft, one loads it.

        Whoever asks gets a lease, and must release it even if it has lost its interest.
        """
        key = (version.project_id, version.digest)
        asked: Future[Lease] = Future()
        asked.set_running_or_notify_cancel()  # from now on nobody can cancel it
        with self._lock:
            if (lease := self._hold(key)) is not None:
                asked.set_result(lease)
                return asked
            loading = self._loading.get(key)
            if loading is None:
                loading = self._loading[key] = _Loading(version)
                self._loaders.submit(self._load, loading, networks=False)
            loading.asked.append(asked)
        return asked

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
            for loading in self._loading.values():
                if loading.version.project_id == project_id:
                    loading.forgotten = True  # what is being read for it must not be kept

    def close(self) -> None:
        """Finish the loads that were asked for."""
        self._loaders.shutdown()
        self._builder.shutdown()

    def _hold(self, key: GraftKey) -> Lease | None:
        graft = self._grafts.get(key)
        if graft is None:
            return None
        self._grafts.move_to_end(key)
        graft.leases += 1
        return self._leased(graft)

    def _leased(self, graft: _Resident) -> Lease:
        return Lease(graft.placed, lambda: self._release(graft))

    def _load(self, loading: _Loading, *, networks: bool) -> None:
        try:
            graft = self._loaded(loading, networks=networks)
        except BaseException as error:
            with self._lock:
                del self._loading[loading.key]
            for asked in loading.asked:
                asked.set_exception(error)
            return
        if graft is None:
            self._builder.submit(self._load, loading, networks=True)
            return
        for asked in loading.asked:
            asked.set_result(self._leased(graft))

    def _loaded(self, loading: _Loading, *, networks: bool) -> _Resident | None:
        """The graft in its place, with a lease for each who asked; None for one with a network, unless `networks`.

        There is room before anything is built. What was forgotten meanwhile is read anew.
        """
        while True:
            loading.forgotten = False
            graft = self._graft_of(loading.version)
            banks = self._banks_of(loading.version)
            weight = banks.weigh(graft)
            if weight.networks and not networks:
                return None  # read again when it is its turn: until then its weights would take memory
            with self._lock:
                self._make_room(weight)
                self._reserved += weight
            try:
                place = banks.prepare(graft)
            except BaseException:
                with self._lock:
                    self._reserved -= weight
                raise
            with self._lock:
                self._reserved -= weight
                if not loading.forgotten:
                    return self._keep(loading, _Resident(banks, place(), weight, len(loading.asked)))

    def _keep(self, loading: _Loading, graft: _Resident) -> _Resident:
        self._grafts[loading.key] = graft
        self._used += graft.weight
        del self._loading[loading.key]
        return graft

    def _make_room(self, weight: Weight) -> None:
        """A graft larger than a whole budget is still served, alone; so nothing idle is ever in its way."""
        if (over := (self._used + self._reserved + weight).beyond(self._budget)) == NOTHING:
            return
        for key in [key for key, graft in self._grafts.items() if not graft.leases and graft.weight.eases(over)]:
            if self._grafts[key].weight.eases(over):
                self._drop(key)
                over = (self._used + self._reserved + weight).beyond(self._budget)
        if self._reserved.eases(over) or any(
            graft.weight.eases(over) for graft in (*self._grafts.values(), *self._leaving)
        ):
            raise Overloaded("every resident graft is in use and their memory is full", fix="try again shortly")

    def _drop(self, key: GraftKey) -> None:
        graft = self._grafts.pop(key)
        if graft.leases:
            self._leaving.add(graft)
        else:
            self._free(graft)

    def _release(self, graft: _Resident) -> None:
        with self._lock:
            graft.leases -= 1
            if not graft.leases and graft in self._leaving:
                self._leaving.remove(graft)
                self._free(graft)

    def _free(self, graft: _Resident) -> None:
        self._used -= graft.weight
        graft.banks.free(graft.placed)


@dataclass(slots=True, eq=False)
class _Loading:
    """A graft on its way, and who is told once it is there."""

    version: Version
    asked: list[Future[Lease]] = field(default_factory=list["Future[Lease]"])
    forgotten: bool = False

    @property
    def key(self) -> GraftKey:
        return self.version.project_id, self.version.digest


@dataclass(slots=True, eq=False)
class _Resident:
    banks: Banks
    placed: Placed
    weight: Weight
    leases: int = 0
