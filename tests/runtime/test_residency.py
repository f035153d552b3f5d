"""Which heads are in memory: leased ones stay, the least used go, and no failure sticks."""

from __future__ import annotations

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.runtime.adapting import drawn_lora, drawn_weights
from tests.runtime.grafting import SPACE, features, graft, heads_only, route, version
from tests.runtime.passes import Passes
from tsugiki.backbones import Loaded
from tsugiki.backbones.sites import linear_shapes
from tsugiki.domain import Graft, LoraDelta, Version, WeightsDelta
from tsugiki.errors import ArtifactCorrupt, Overloaded, WrongFeatureSpace
from tsugiki.runtime.banks import HEAD_OVERHEAD_BYTES, NOTHING, Banks, Placed, Weight
from tsugiki.runtime.heads import HeadBank, StaleSlot
from tsugiki.runtime.loras import LoraBank
from tsugiki.runtime.residency import LOADERS, Residency
from tsugiki.runtime.route import LoraSlot, OwnNetwork, Slot

HEAD_BYTES = HEAD_OVERHEAD_BYTES + 2 * 8 * 4 + 2 * 4  # of a head of two classes in eight dimensions
PROMISED_BYTES = 16 << 10  # the most a tenant with a two-class head may cost


class Shelf:
    """Grafts by version; remembers what was read, and can hold readers up."""

    def __init__(self, dim: int = 8) -> None:
        self.dim = dim
        self.read: list[str] = []
        self.corrupt: set[str] = set()
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)

    def graft(self, wanted: Version) -> Graft:
        self.read.append(wanted.digest)
        self.entered.release()
        self.open.wait()
        if wanted.digest in self.corrupt:
            raise ArtifactCorrupt("the bytes changed")
        return graft(int(wanted.digest), classes=2, dim=self.dim)


def residency(shelf: Shelf, heads: int) -> tuple[Residency, HeadBank]:
    bank = HeadBank(SPACE, shelf.dim)
    banks = heads_only(bank)
    return Residency(lambda _: banks, shelf.graft, Weight(heads * HEAD_BYTES)), bank


def head(number: int, project: str = "proj_a") -> Version:
    return version(project, str(number))


def is_stale(bank: HeadBank, slot: Slot) -> bool:
    (found,) = bank.probabilities([route(slot)], features(1))
    return isinstance(found, StaleSlot)


def test_a_disowned_slot_is_left_to_whose_it_is_and_the_head_loaded_anew() -> None:
    shelf = Shelf()
    heads, bank = residency(shelf, 4)
    with heads.lease(head(1)) as lost:
        bank.free(lost.placed.slot)  # the fault: it was given away while in use
        with heads.lease(head(2)) as other:
            assert (other.placed.slot.page, other.placed.slot.start) == (lost.placed.slot.page, lost.placed.slot.start)
            heads.disown(head(1), lost.placed)
            heads.disown(head(2), lost.placed)  # not its slot: nothing happens
            with heads.lease(head(1)) as found:
                assert not is_stale(bank, found.placed.slot)
                assert not is_stale(bank, other.placed.slot)
    assert shelf.read == ["1", "2", "1"]
    assert (heads.resident_grafts, heads.resident.heads) == (2, 2 * HEAD_BYTES)
    heads.forget("proj_a")
    assert (heads.resident_grafts, heads.resident.heads) == (0, 0)


def test_a_head_is_read_once_and_then_in_memory() -> None:
    shelf = Shelf()
    heads, bank = residency(shelf, 4)
    assert heads.lease_resident(head(1)) is None
    with heads.lease(head(1)) as first, heads.lease(head(1)) as second:
        assert first.placed.slot == second.placed.slot
        assert not is_stale(bank, first.placed.slot)
    assert heads.lease_resident(head(1)) is not None
    assert shelf.read == ["1"]


def test_the_least_recently_used_head_goes_first() -> None:
    shelf = Shelf()
    heads, _ = residency(shelf, 2)
    for number in (1, 2, 1, 3):
        with heads.lease(head(number)):
            pass
    assert heads.resident_grafts == 2
    assert heads.resident.heads == 2 * HEAD_BYTES
    with heads.lease(head(1)):
        assert shelf.read == ["1", "2", "3"], "1 was used after 2 and stayed"
    with heads.lease(head(2)):
        assert shelf.read == ["1", "2", "3", "2"]


def test_a_leased_head_is_never_evicted() -> None:
    shelf = Shelf()
    heads, bank = residency(shelf, 1)
    with heads.lease(head(1)) as pinned:
        with pytest.raises(Overloaded, match="in use"):
            heads.lease(head(2))
        assert not is_stale(bank, pinned.placed.slot)
    with heads.lease(head(2)):
        assert is_stale(bank, pinned.placed.slot)


def test_one_head_larger_than_the_whole_budget_is_still_served() -> None:
    heads, bank = residency(Shelf(), 0)
    with heads.lease(head(1)) as lease:
        assert not is_stale(bank, lease.placed.slot)


def test_cold_loads_of_one_head_are_one_and_nobody_waits_for_another_head() -> None:
    shelf = Shelf()
    heads, _ = residency(shelf, 4)
    with heads.lease(head(2)):
        pass
    shelf.open.clear()
    shelf.entered = threading.Semaphore(0)

    def slot() -> Slot:
        with heads.lease(head(1)) as lease:
            return lease.placed.slot

    with ThreadPoolExecutor(8) as pool:
        cold = [pool.submit(slot) for _ in range(8)]
        assert shelf.entered.acquire(timeout=30)
        with heads.lease(head(2)):
            assert not any(future.done() for future in cold)
        shelf.open.set()
        assert len({future.result(30) for future in cold}) == 1
    assert shelf.read == ["2", "1"]


@pytest.mark.parametrize("waiting", [1, 4])
def test_a_corrupt_head_fails_those_who_ask_and_is_read_anew_once_mended(waiting: int) -> None:
    shelf = Shelf()
    heads, _ = residency(shelf, 4)
    shelf.corrupt.add("1")
    with ThreadPoolExecutor(waiting) as pool:
        for future in [pool.submit(heads.lease, head(1)) for _ in range(waiting)]:
            with pytest.raises(ArtifactCorrupt):
                future.result(30)
    assert (heads.resident_grafts, heads.resident.heads) == (0, 0)
    with heads.lease(head(2)):
        shelf.corrupt.clear()
    with heads.lease(head(1)) as mended:
        assert mended.placed.slot.classes == 2


def test_a_head_of_another_space_is_refused_and_leaves_nothing() -> None:
    banks = heads_only(HeadBank("fsp_other", 8))
    heads = Residency(lambda _: banks, Shelf().graft, Weight(HEAD_BYTES))
    with pytest.raises(WrongFeatureSpace):
        heads.lease(head(1))
    assert (heads.resident_grafts, heads.resident.heads) == (0, 0)


def test_a_forgotten_project_is_out_of_memory_once_its_last_row_is_answered() -> None:
    heads, bank = residency(Shelf(), 4)
    with heads.lease(head(3, "proj_b")) as other:
        with heads.lease(head(1)) as lease:
            heads.forget("proj_a")
            assert heads.resident_grafts == 1
            assert not is_stale(bank, lease.placed.slot), "a row in flight keeps its head"
            assert heads.resident.heads == 2 * HEAD_BYTES
        assert is_stale(bank, lease.placed.slot)
        assert not is_stale(bank, other.placed.slot)
        assert heads.resident.heads == HEAD_BYTES


def test_what_is_forgotten_and_leased_still_takes_its_room() -> None:
    heads, _ = residency(Shelf(), 1)
    with heads.lease(head(1)):
        heads.forget("proj_a")
        with pytest.raises(Overloaded):
            heads.lease(head(2, "proj_b"))
    with heads.lease(head(2, "proj_b")):
        assert heads.resident.heads == HEAD_BYTES


def test_a_project_forgotten_while_its_head_is_read_is_not_kept() -> None:
    shelf = Shelf()
    heads, _ = residency(shelf, 4)
    shelf.open.clear()
    with ThreadPoolExecutor(1) as pool:
        cold = pool.submit(heads.lease, head(1))
        assert shelf.entered.acquire(timeout=30)
        heads.forget("proj_a")
        shelf.corrupt.add("1")  # its file is gone with the project
        shelf.open.set()
        with pytest.raises(ArtifactCorrupt):
            cold.result(30)
    assert heads.resident_grafts == 0


def test_leases_under_pressure_keep_their_slots() -> None:
    shelf = Shelf()
    heads, bank = residency(shelf, 3)
    inputs = features(1)
    wanted = {number: graft(number, classes=2) for number in range(9)}
    wrong: list[object] = []

    def client(me: int) -> None:
        random = np.random.default_rng(me)
        for number in random.integers(0, 9, size=150).tolist():
            try:
                with heads.lease(head(number)) as lease:
                    (found,) = bank.probabilities([route(lease.placed.slot)], inputs)
                    logits = (inputs[0] @ wanted[number].head.weight.T + wanted[number].head.bias).argmax()
                    if isinstance(found, StaleSlot) or int(found.argmax()) != int(logits):
                        wrong.append(found)
            except Overloaded:
                continue  # all three are leased at this moment: the refusal is right

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(client, range(6)))
    assert wrong == []
    assert heads.resident.heads <= 3 * HEAD_BYTES
    assert heads.resident.heads == heads.resident_grafts * HEAD_BYTES


def test_a_thousand_two_class_heads_cost_little_each() -> None:
    made = graft(1, classes=2, dim=384)
    banks = heads_only(HeadBank(SPACE, 384))
    # Every head has bytes and words of its own, as if it were read from a file.
    heads = Residency(lambda _: banks, lambda asked: _copy(made, asked.digest), Weight(1 << 30))
    versions = [version(f"proj_{number}", str(number)) for number in range(1_000)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for one in versions:
        with heads.lease(one):
            pass
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each = (after - before) / 1_000
    assert heads.resident_grafts == 1_000
    assert each <= PROMISED_BYTES, f"{each:.0f} bytes a head"


def _copy(made: Graft, name: str) -> Graft:
    head = made.head
    return replace(
        made, head=replace(head, weight=head.weight.copy(), bias=head.bias.copy(), labels=(f"{name}/a", f"{name}/b"))
    )


def test_adapters_and_networks_have_budgets_of_their_own(tiny: Loaded) -> None:
    grafts = {
        "head": replace(graft(1), delta=None),
        "first": replace(graft(2), delta=drawn_lora(tiny, 2)),
        "second": replace(graft(3), delta=drawn_lora(tiny, 3)),
        "network": replace(graft(4), delta=drawn_weights(tiny, 4)),
    }
    made: list[OwnNetwork] = []
    closed: list[WeightsDelta] = []

    def own(delta: WeightsDelta) -> OwnNetwork:
        made.append(OwnNetwork(Passes(), lambda: closed.append(delta)))
        return made[-1]

    loras = LoraBank(lambda: linear_shapes(tiny.graph), "float32", 0)
    delta = grafts["first"].delta
    assert isinstance(delta, LoraDelta)
    one = loras.slot_bytes(loras.rack_of(delta))
    banks = Banks(HeadBank(SPACE, 8), loras, Passes(), own, 1_000)
    heads = Residency(lambda _: banks, lambda asked: grafts[asked.digest], Weight(1 << 20, loras=one, networks=1_000))

    def use(digest: str) -> Placed:
        with heads.lease(version("proj_a", digest)) as lease:
            return lease.placed

    use("head")
    first = use("first")
    use("network")
    second = use("second")
    assert heads.resident.loras == one, "the second adapter took the first one's place"
    assert heads.resident_grafts == 3, "and nothing else went"
    assert isinstance(first.delta, LoraSlot) and isinstance(second.delta, LoraSlot)
    assert not loras.owns(first.delta)
    assert loras.owns(second.delta)
    assert use("network").delta is made[0]
    with heads.lease(version("proj_a", "second")), pytest.raises(Overloaded):
        heads.lease(version("proj_a", "first"))
    assert use("first").delta != first.delta
    assert closed == []
    heads.forget("proj_a")
    assert heads.resident == NOTHING
    assert closed == [grafts["network"].delta]


HEAD_ALONE = head(0, "proj_b")


class Workshop:
    """Banks that build networks of 1,000 bytes; counts them, and can hold or fail the building.

    A version of `HEAD_ALONE` brings none.
    """

    def __init__(self, tiny: Loaded) -> None:
        self.made = 0
        self.fails = False
        self.room: list[int] = []  # taken by networks that were there as one was to be built
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.banks = Banks(HeadBank(SPACE, 8), LoraBank(dict, "float32", 0), Passes(), self._own, 1_000)
        self._delta = drawn_weights(tiny, 1)

    def residency(self, networks: int) -> Residency:
        self.grafts = Residency(lambda _: self.banks, self._graft, Weight(1 << 20, networks=1_000 * networks))
        return self.grafts

    def _graft(self, wanted: Version) -> Graft:
        return replace(graft(int(wanted.digest)), delta=None if wanted == HEAD_ALONE else self._delta)

    def _own(self, delta: WeightsDelta) -> OwnNetwork:
        self.made += 1
        self.room.append(self.grafts.resident.networks)
        self.entered.release()
        assert self.open.wait(30)
        if self.fails:
            raise ArtifactCorrupt("the weights are not the backbone's")
        return OwnNetwork(Passes())


def test_no_network_is_built_that_there_is_no_room_for(tiny: Loaded) -> None:
    shop = Workshop(tiny)
    grafts = shop.residency(1)
    with grafts.lease(head(1)):
        for _ in range(3):
            with pytest.raises(Overloaded):
                grafts.lease(head(2))
        assert shop.made == 1
    with grafts.lease(head(2)):
        assert (shop.made, grafts.resident.networks) == (2, 1_000)


def test_networks_are_built_one_at_a_time_and_no_head_waits_for_them(tiny: Loaded) -> None:
    shop = Workshop(tiny)
    grafts = shop.residency(3)
    shop.open.clear()
    asked = [grafts.lease_soon(head(number)) for number in range(LOADERS + 1)]
    assert shop.entered.acquire(timeout=30)
    with grafts.lease(HEAD_ALONE):
        assert shop.made == 1
    shop.open.set()
    refused = 0
    for one in asked:
        try:
            one.result(30)
        except Overloaded:
            refused += 1
    assert (shop.made, refused) == (3, LOADERS + 1 - 3), "as many as there is room for"
    assert shop.room == [0, 1_000, 2_000]


def test_the_least_used_network_goes_before_another_is_built(tiny: Loaded) -> None:
    shop = Workshop(tiny)
    grafts = shop.residency(2)
    for number in (1, 2, 3, 4):
        with grafts.lease(head(number)):
            pass
    assert shop.room == [0, 1_000, 1_000, 1_000]


def test_a_network_that_cannot_be_built_leaves_its_room(tiny: Loaded) -> None:
    shop = Workshop(tiny)
    grafts = shop.residency(1)
    shop.fails = True
    for _ in range(2):
        with pytest.raises(ArtifactCorrupt):
            grafts.lease(head(1))
    shop.fails = False
    with grafts.lease(head(1)), pytest.raises(Overloaded):
        grafts.lease(head(2))
    assert grafts.resident.networks == 1_000


def test_each_who_waits_for_a_head_has_a_lease_of_its_own(tiny: Loaded) -> None:
    shelf = Shelf()
    heads, bank = residency(shelf, 1)
    shelf.open.clear()
    asked = [heads.lease_soon(head(1)) for _ in range(3)]
    assert not any(one.cancel() for one in asked), "what has begun comes to its end"
    shelf.open.set()
    leases = [one.result(30) for one in asked]
    for lease in leases:
        with pytest.raises(Overloaded):
            heads.lease(head(2))
        lease.release()
    with heads.lease(head(2)):
        assert is_stale(bank, leases[0].placed.slot)
    heads.close()
