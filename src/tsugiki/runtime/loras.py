"""The LoRA bank: adapters of many tenants in a few large arrays, read by slot within one pass."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tsugiki.backbones.sites import covering
from tsugiki.domain import LoraDelta
from tsugiki.errors import ArtifactCorrupt, Overloaded
from tsugiki.ports import Adapters, BankType
from tsugiki.runtime.route import LoraSlot, Rack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tsugiki.domain import Floats

RANKS = (4, 8, 16, 32)  # buckets: an adapter is padded to the next one, so that a pass has few shapes
NONE = 0  # the slot of rows without an adapter: all zeros
NUMBER_BYTES = {"float32": 4, "bfloat16": 2}

Shapes = Mapping[str, tuple[int, int]]  # module -> (in, out)


class LoraBank:
    """Slots of all racks; `capacity_bytes` bounds each rack, the residency's budget what is loaded in all of them.

    What of a rack was once written stays in memory, free or not: to the rack's bound, and of racks there are few.
    A slot is written once. Its generation is raised when it is freed, and again once new matrices are whole: a pass
    that finds a row's generation unchanged afterwards has read that row's own, and what is copied under a generation is
    whole. Thread-safe.
    """

    def __init__(self, shapes: Callable[[], Shapes], bank_type: BankType, capacity_bytes: int) -> None:
        self._read_shapes = shapes
        self._bank_type: BankType = bank_type
        self._capacity_bytes = capacity_bytes
        self._lock = threading.Lock()
        self._racks: dict[Rack, _Slots] = {}

    @cached_property
    def _shapes(self) -> Shapes:
        return self._read_shapes()

    def rack_of(self, delta: LoraDelta) -> Rack:
        """Where the adapter belongs. Raises ArtifactCorrupt where it does not fit the backbone."""
        for module, pair in delta.modules.items():
            fits = (pair.down.shape[0], pair.up.shape[1])
            if self._shapes.get(module) != fits:
                raise ArtifactCorrupt(f"The graft adapts {module} {fits}, the backbone has {self._shapes.get(module)}.")
        modules = covering(tuple(self._shapes), tuple(delta.modules))
        rank = next((rank for rank in RANKS if rank >= delta.rank), -(-delta.rank // RANKS[-1]) * RANKS[-1])
        return Rack(modules, rank)

    def slot_bytes(self, rack: Rack) -> int:
        numbers = sum(rack.rank * sum(self._shapes[module]) for module in rack.modules)
        return numbers * NUMBER_BYTES[self._bank_type]

    def load(self, delta: LoraDelta) -> LoraSlot:
        """Copy an adapter in. Raises ArtifactCorrupt, Overloaded when its rack has no free slot."""
        rack = self.rack_of(delta)
        with self._lock:
            slots = self._racks.get(rack)
            if slots is None:
                slots = self._racks[rack] = self._empty(rack)
            if not slots.free:
                raise Overloaded("every slot for adapters of this kind is in use", fix="try again shortly")
            index = heapq.heappop(slots.free)  # the lowest: memory is used from the front
            for module, (down, up) in slots.banks.items():
                pair = delta.modules.get(module)
                down[index], up[index] = 0, 0
                if pair is not None:
                    rank = pair.down.shape[1]
                    down[index, :, :rank] = encoded(pair.down, self._bank_type)
                    up[index, :rank] = encoded(pair.up, self._bank_type)
            return LoraSlot(rack, index, slots.claim(index))

    def free(self, slot: LoraSlot) -> None:
        """Give the slot back. Only when no row of it is in flight."""
        with self._lock:
            slots = self._racks[slot.rack]
            slots.claim(slot.index)  # from now on nobody's: a route that still names it is stale
            heapq.heappush(slots.free, slot.index)

    def adapters(self, rack: Rack, indices: NDArray[np.int64]) -> Adapters:
        """What a pass reads; `indices` (groups,) as in Adapters."""
        slots = self._racks[rack]
        return Adapters(rack.modules, slots.banks, slots.generations, indices)

    def owns(self, slot: LoraSlot) -> bool:
        """Whether the slot is still the one that was given; asked after a pass, of every row of it."""
        return int(self._racks[slot.rack].generations[slot.index]) == slot.generation

    def _empty(self, rack: Rack) -> _Slots:
        count = 2 + self._capacity_bytes // self.slot_bytes(rack)  # slot NONE, and one where the budget is below one
        kind = np.uint16 if self._bank_type == "bfloat16" else np.float32
        # Zeros that nobody touched take no memory: a rack as large as the budget costs what is loaded in it.
        banks = {
            module: (
                np.zeros((count, self._shapes[module][0], rack.rank), kind),
                np.zeros((count, rack.rank, self._shapes[module][1]), kind),
            )
            for module in rack.modules
        }
        return _Slots(banks, np.zeros(count, np.int64), list(range(NONE + 1, count)))


@dataclass(slots=True)
class _Slots:
    banks: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]  # Any: as in Adapters
    generations: NDArray[np.int64]
    free: list[int] = field(default_factory=list[int])  # a heap

    def claim(self, index: int) -> int:
        self.generations[index] += 1
        return int(self.generations[index])


def grouped(slots: Sequence[int]) -> tuple[list[int], NDArray[np.int64]]:
    """An order of the rows and the slots of their groups, as few as equal runs allow.

    `[3, 5, 3, 5] -> order [0, 2, 1, 3], slots [3, 5]`: two rows a group. `[3, 5, 5] -> ..., slots [3, 5, 5]`.
    """
    indices = np.asarray(slots, np.int64)
    order = indices.argsort(kind="stable")
    _, counts = np.unique(indices, return_counts=True)
    run = int(np.gcd.reduce(counts))
    return order.tolist(), indices[order][::run]


def encoded(values: Floats, bank_type: BankType) -> NDArray[Any]:  # Any: as in Adapters
    """As the bank holds it; bfloat16 as its bits, rounded to the nearest, ties to even."""
    if bank_type == "float32":
        return values
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
