"""Which heads are in memory: loaded on demand, leased while in use, evicted by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from tsugiki.errors import Overloaded
from tsugiki.runtime.heads import HeadBank
from tsugiki.runtime.route import Slot

if TYPE_CHECKING:
    from tsugiki.domain import Graft, Version

HEAD_OVERHEAD_BYTES = 2_048  # beyond its numbers; 1.5 KiB by tracemalloc over 1,000 two-class heads, rounded up

# A project's version by content: a name may come to mean something else, a digest cannot.
HeadKey = tuple[str, str]  # (project id, graft digest)


class Lease:
    """A resident head that stays where it is until released, once; use as a context manager."""

    __slots__ = ("release", "slot")

    def __init__(self, slot: Slot, release: Callable[[], None]) -> None:
        self.slot = slot
        self.release = release

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Residency:
    """Heads of all banks under one byte budget, least recently used first to go.

    A leased head is never evicted; a forgotten one is freed when its last lease ends. Cold loads of one head are
    coalesced, and nobody waits for the cold load of another. Thread-safe.
    """

    def __init__(
        self, bank_of: Callable[[Version], HeadBank], graft_of: Callable[[Version], Graft], budget: int
    ) -> None:
        self._bank_of = bank_of
        self._graft_of = graft_of
        self._budget = budget
        self._lock = threading.Lock()
        self._heads: OrderedDict[HeadKey, _Resident] = OrderedDict()
        self._loading: dict[HeadKey, Future[None]] = {}
        self._bytes = 0

    @property
    def resident_bytes(self) -> int:
        return self._bytes

    @property
    def resident_heads(self) -> int:
        return len(self._heads)

    def lease_resident(self, version: Version) -> Lease | None:
        """A lease if the head is in memory, else None; never blocks on a load."""
        key = (version.project_id, version.digest)
        with self._lock:
            head = self._heads.get(key)
            if head is None:
                return None
            self._heads.move_to_end(key)
            head.leases += 1
        return Lease(head.slot, lambda: self._release(head))

    def lease(self, version: Version) -> Lease:
        """A lease, loading the head first if needed. Raises ArtifactCorrupt, Overloaded, WrongFeatureSpace."""
        while True:
            if (lease := self.lease_resident(version)) is not None:
                return lease
            key = (version.project_id, version.digest)
            with self._lock:
                if key in self._heads:
                    continue
                loading = self._loading.get(key)
                mine = loading is None
                if loading is None:
                    loading = self._loading[key] = Future()
            if mine:
                self._load(version, key, loading)
            loading.result()

    def disown(self, version: Version, slot: Slot) -> None:
        """The bank says that the slot is not the version's any more: the next lease loads the head anew.

        Nothing is freed, for the rows may be another head's by now.
        """
        key = (version.project_id, version.digest)
        with self._lock:
            head = self._heads.get(key)
            if head is not None and head.slot == slot:
                del self._heads[key]
                self._bytes -= head.size

    def forget(self, project_id: str) -> None:
        """Drop a deleted project's heads; those in use go with their last lease."""
        with self._lock:
            for key in [key for key in self._heads if key[0] == project_id]:
                self._drop(key)
            for key in [key for key in self._loading if key[0] == project_id]:
                del self._loading[key]  # what is being read for it must not be kept

    def _load(self, version: Version, key: HeadKey, loading: Future[None]) -> None:
        try:
            graft = self._graft_of(version)
            bank = self._bank_of(version)
            size = graft.head.weight.nbytes + graft.head.bias.nbytes + HEAD_OVERHEAD_BYTES
            with self._lock:
                if self._loading.get(key) is loading:
                    self._make_room(size)
                    self._heads[key] = _Resident(bank, bank.load(graft), size)
                    self._bytes += size
                    del self._loading[key]
        except BaseException as error:
            with self._lock:
                if self._loading.get(key) is loading:
                    del self._loading[key]
            loading.set_exception(error)
        else:
            loading.set_result(None)

    def _make_room(self, size: int) -> None:
        for key in [key for key, head in self._heads.items() if not head.leases]:
            if self._bytes + size <= self._budget:
                return
            self._drop(key)
        if self._heads and self._bytes + size > self._budget:
            raise Overloaded("every resident head is in use and the memory for heads is full", fix="try again shortly")

    def _drop(self, key: HeadKey) -> None:
        head = self._heads.pop(key)
        self._bytes -= head.size
        head.dropped = True
        if not head.leases:
            head.bank.free(head.slot)

    def _release(self, head: _Resident) -> None:
        with self._lock:
            head.leases -= 1
            if head.dropped and not head.leases:
                head.bank.free(head.slot)


@dataclass(slots=True, eq=False)
class _Resident:
    bank: HeadBank
    slot: Slot
    size: int
    leases: int = 0
    dropped: bool = False
