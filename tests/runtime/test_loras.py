"""The bank of LoRA matrices: slots are written once, padded to their rack, and never read as another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsugiki.domain import LoraDelta, LoraPair
from tsugiki.errors import ArtifactCorrupt, Overloaded
from tsugiki.runtime.loras import NONE, RANKS, LoraBank, encoded, grouped
from tsugiki.runtime.route import LoraSlot

if TYPE_CHECKING:
    from tsugiki.domain import Floats

SHAPES = {"layer.0.query": (8, 6), "layer.0.value": (8, 6), "layer.0.dense": (6, 10)}


def delta(seed: int, rank: int = 4, modules: tuple[str, ...] = ("layer.0.query", "layer.0.value")) -> LoraDelta:
    random = np.random.default_rng(seed)

    def matrix(*shape: int) -> Floats:
        return random.standard_normal(shape).astype(np.float32)

    return LoraDelta({m: LoraPair(matrix(SHAPES[m][0], rank), matrix(rank, SHAPES[m][1])) for m in modules})


def bank(slots: int = 4) -> LoraBank:
    made = LoraBank(lambda: SHAPES, "float32", 0)
    return LoraBank(lambda: SHAPES, "float32", (slots - 1) * made.slot_bytes(made.rack_of(delta(0))))


def product(loras: LoraBank, slot: LoraSlot, module: str) -> Floats:
    """What the slot adds, for the identity as input."""
    down, up = loras.adapters(slot.rack, np.array([slot.index])).banks[module]
    return down[slot.index] @ up[slot.index]


@pytest.mark.parametrize("rank", [1, 3, 4, 5, 8, 31, 32, 33])
def test_an_adapter_of_any_rank_is_read_as_it_was_trained(rank: int) -> None:
    loras, made = bank(), delta(1, rank)
    slot = loras.load(made)
    assert slot.rack.rank >= rank
    assert slot.rack.rank in RANKS or slot.rack.rank % RANKS[-1] == 0
    for module, pair in made.modules.items():
        np.testing.assert_allclose(product(loras, slot, module), pair.down @ pair.up, atol=1e-5)


def test_the_slot_of_none_adds_nothing_and_is_never_given_away() -> None:
    loras = bank(3)
    given = [loras.load(delta(seed)) for seed in range(3)]
    assert NONE not in {slot.index for slot in given}
    assert not product(loras, LoraSlot(given[0].rack, NONE, 0), "layer.0.query").any()


def test_adapters_of_few_modules_and_of_all_have_racks_of_their_own() -> None:
    loras = bank()
    few = loras.load(delta(1))
    one = loras.load(delta(2, modules=("layer.0.value",)))
    every = loras.load(delta(3, modules=tuple(SHAPES)))
    assert few.rack == one.rack != every.rack
    assert not product(loras, one, "layer.0.query").any(), "what it does not adapt stays as it was"
    assert set(every.rack.modules) == set(SHAPES)


def test_a_freed_slot_is_stale_at_once_and_its_place_is_given_again() -> None:
    loras = bank()
    gone = loras.load(delta(1))
    assert loras.owns(gone)
    loras.free(gone)
    assert not loras.owns(gone)
    present = loras.load(delta(2, rank=2))
    assert (present.rack, present.index) == (gone.rack, gone.index)
    assert present.generation > gone.generation
    assert loras.owns(present)
    pair = delta(2, rank=2).modules["layer.0.query"]
    np.testing.assert_allclose(product(loras, present, "layer.0.query"), pair.down @ pair.up, atol=1e-5)


class Looked(dict[str, LoraPair]):
    """A delta's matrices; `look` is called while a bank copies them."""

    def __init__(self, made: LoraDelta, look: Callable[[], None]) -> None:
        super().__init__(made.modules)
        self._look = look

    def get(self, module: str, default: object = None) -> Any:  # Any: dict's has overloads
        self._look()
        return super().get(module, default)


def test_a_copy_made_while_matrices_are_written_is_not_taken_for_the_whole_ones() -> None:
    """Of an engine that keeps copies by generation: it makes one for a pass of rows whose callers have left."""
    loras = bank()
    gone = loras.load(delta(1))
    copied: list[int] = []

    def copy() -> None:
        copied.append(int(loras.adapters(gone.rack, np.array([gone.index])).generations[gone.index]))

    loras.free(gone)
    slot = loras.load(LoraDelta(Looked(delta(2), copy)))
    assert slot.index == gone.index
    assert len(copied) == len(slot.rack.modules), "the control: it was looked at in between"
    assert not {gone.generation, slot.generation} & set(copied)


def test_a_full_rack_refuses_until_a_slot_is_free() -> None:
    loras = bank(2)
    given = [loras.load(delta(seed)) for seed in range(2)]
    with pytest.raises(Overloaded):
        loras.load(delta(9))
    loras.free(given[0])
    assert loras.load(delta(9)).index == given[0].index


def test_matrices_that_do_not_fit_the_backbone_are_refused() -> None:
    misfits = [
        LoraDelta({"layer.0.key": LoraPair(np.ones((8, 4), np.float32), np.ones((4, 6), np.float32))}),
        LoraDelta({"layer.0.query": LoraPair(np.ones((7, 4), np.float32), np.ones((4, 6), np.float32))}),
        LoraDelta({"layer.0.query": LoraPair(np.ones((8, 4), np.float32), np.ones((4, 7), np.float32))}),
    ]
    for misfit in misfits:
        with pytest.raises(ArtifactCorrupt):
            bank().load(misfit)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=24))
def test_grouped_rows_read_their_own_slots(slots: list[int]) -> None:
    order, groups = grouped(slots)
    assert sorted(order) == list(range(len(slots)))
    assert len(slots) % len(groups) == 0
    run = len(slots) // len(groups)
    assert [slots[row] for row in order] == [int(groups[place // run]) for place in range(len(slots))]


def test_equal_runs_become_one_group_each() -> None:
    assert grouped([3, 5, 3, 5])[1].tolist() == [3, 5]
    assert grouped([7] * 9)[1].tolist() == [7]
    assert grouped([3, 5, 5])[1].tolist() == [3, 5, 5]


@settings(deadline=None)  # the first example imports torch
@given(st.floats(-(2.0**99), 2.0**99, width=32))
def test_bfloat16_is_the_nearest(value: float) -> None:
    import torch

    (bits,) = encoded(np.array([value], np.float32), "bfloat16")
    assert int(bits) == int(torch.tensor([value]).to(torch.bfloat16).view(torch.int16).item()) & 0xFFFF
