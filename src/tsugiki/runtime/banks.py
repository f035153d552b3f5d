"""All that grafts of one feature space need in memory to be served: heads, adapters, networks of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from tsugiki.domain import LoraDelta, WeightsDelta
from tsugiki.runtime.route import LoraSlot, OwnNetwork

if TYPE_CHECKING:
    from tsugiki.domain import Graft
    from tsugiki.ports import Engine
    from tsugiki.runtime.heads import HeadBank
    from tsugiki.runtime.loras import LoraBank
    from tsugiki.runtime.route import Slot

HEAD_OVERHEAD_BYTES = 2_048  # beyond its numbers; 1.5 KiB by tracemalloc over 1,000 two-class heads, rounded up


@dataclass(frozen=True, slots=True)
class Weight:
    """What a graft takes of each memory budget, or what there is of each."""

    heads: int
    loras: int = 0
    networks: int = 0

    def __add__(self, other: Weight) -> Weight:
        return Weight(self.heads + other.heads, self.loras + other.loras, self.networks + other.networks)

    def __sub__(self, other: Weight) -> Weight:
        return Weight(self.heads - other.heads, self.loras - other.loras, self.networks - other.networks)

    def beyond(self, budget: Weight) -> Weight:
        """What is over the budget, of each; nothing where it is kept."""
        over = self - budget
        return Weight(max(0, over.heads), max(0, over.loras), max(0, over.networks))

    def eases(self, over: Weight) -> bool:
        """Whether freeing this lessens what is over."""
        return bool((self.heads and over.heads) or (self.loras and over.loras) or (self.networks and over.networks))


NOTHING = Weight(0)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a graft is: its head's slot, and what changes the backbone for it."""

    slot: Slot
    delta: LoraSlot | OwnNetwork | None = None


class Banks:
    """The banks of one feature space; a network of a version's own takes `network_bytes`. Thread-safe, as they are."""

    def __init__(
        self,
        heads: HeadBank,
        loras: LoraBank,
        engine: Engine,
        own_network: Callable[[WeightsDelta], OwnNetwork],
        network_bytes: int = 0,
    ) -> None:
        self.heads = heads
        self.loras = loras
        self._engine = engine
        self._own_network = own_network
        self._network_bytes = network_bytes

    def weigh(self, graft: Graft) -> Weight:
        """What it will take. Raises ArtifactCorrupt."""
        heads = graft.head.weight.nbytes + graft.head.bias.nbytes + HEAD_OVERHEAD_BYTES
        if (scope := graft.head.scope) is not None:
            heads += scope.means.nbytes + scope.means[:, 0].nbytes
        delta = graft.delta
        match delta:
            case None:
                return Weight(heads)
            case LoraDelta():
                return Weight(heads, loras=self.loras.slot_bytes(self.loras.rack_of(delta)))
            case WeightsDelta():
                return Weight(heads, networks=self._network_bytes)
            case _:
                assert_never(delta)

    def prepare(self, graft: Graft) -> Callable[[], Placed]:
        """Blocks: compiles what the graft's delta needs. What is returned places it, and is quick.

        Raises ArtifactCorrupt.
        """
        delta = graft.delta
        match delta:
            case None:
                return lambda: Placed(self.heads.load(graft))
            case LoraDelta():
                self._engine.prepare(self.loras.rack_of(delta).modules)
                return lambda: self._with_lora(graft, delta)
            case WeightsDelta():
                network = self._own_network(delta)
                return lambda: Placed(self.heads.load(graft), network)
            case _:
                assert_never(delta)

    def free(self, placed: Placed) -> None:
        """Only when no row of it is in flight."""
        self.heads.free(placed.slot)
        match placed.delta:
            case LoraSlot():
                self.loras.free(placed.delta)
            case OwnNetwork():
                placed.delta.close()
            case None:
                pass

    def _with_lora(self, graft: Graft, delta: LoraDelta) -> Placed:
        adapter = self.loras.load(delta)
        try:
            return Placed(self.heads.load(graft), adapter)
        except BaseException:
            self.loras.free(adapter)
            raise
