"""The bank of heads: many heads in few arrays, and no row ever read from another's."""

from __future__ import annotations

import itertools
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.grafting import SPACE, TOLERANCE, BlindBank, expected, features, graft, heads_only, route
from tsugiki.domain import Graft
from tsugiki.errors import WrongFeatureSpace
from tsugiki.runtime.banks import HEAD_OVERHEAD_BYTES
from tsugiki.runtime.heads import PAGE_BYTES, HeadBank, StaleSlot
from tsugiki.runtime.route import Route, Slot

if TYPE_CHECKING:
    from tsugiki.domain import Floats


def answer(bank: HeadBank, slot: Slot, inputs: Floats) -> list[Floats | StaleSlot]:
    return bank.probabilities([route(slot)] * len(inputs), inputs)


def is_right(found: Floats | StaleSlot, made: Graft, one: Floats) -> bool:
    return isinstance(found, np.ndarray) and np.allclose(found, expected(made, one[None])[0], atol=TOLERANCE)


@pytest.mark.parametrize("classes", [2, 3, 17, 1_000])
def test_a_head_of_any_number_of_classes_answers_as_it_was_fitted(classes: int) -> None:
    bank, made, inputs = HeadBank(SPACE, 384), graft(1, classes, 384), features(5, 384)
    slot = bank.load(made)
    found = answer(bank, slot, inputs)
    assert all(is_right(one, made, inputs[row]) for row, one in enumerate(found))
    assert slot.classes == classes


def test_rows_of_many_heads_in_one_pass_each_get_their_own() -> None:
    bank = HeadBank(SPACE, 8)
    made = [graft(seed, classes=2 + seed * 7 % 40) for seed in range(50)]
    slots = [bank.load(one) for one in made]
    turn: list[int] = np.random.default_rng(0).integers(0, 50, size=400).tolist()
    inputs = features(400)
    found = bank.probabilities([route(slots[head]) for head in turn], inputs)
    assert all(is_right(found[row], made[head], inputs[row]) for row, head in enumerate(turn))


def test_heads_with_and_without_a_scope_share_a_pass() -> None:
    bank = HeadBank(SPACE, 8)
    made = [graft(seed, classes=2 + seed % 5, scope=seed % 2 == 0) for seed in range(20)]
    slots = [bank.load(one) for one in made]
    for slot in slots[::4]:
        bank.free(slot)
    made[::4] = [graft(100 + seed, classes=2 + seed % 7, scope=seed % 3 == 0) for seed in range(5)]
    slots[::4] = [bank.load(one) for one in made[::4]]
    turn: list[int] = np.random.default_rng(0).integers(0, 20, size=200).tolist()
    inputs = features(200)
    found = bank.probabilities([route(slots[head]) for head in turn], inputs)
    margins = [one[-1] for row, one in enumerate(found) if isinstance(one, np.ndarray) and made[turn[row]].head.scope]
    assert any(margin < 0 for margin in margins)
    assert any(margin > 0 for margin in margins)
    for row, head in enumerate(turn):
        one = found[row]
        assert isinstance(one, np.ndarray)
        # A margin of some tens, of squares: float32 differs from double by more than a probability may.
        np.testing.assert_allclose(one, expected(made[head], inputs[row : row + 1])[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bank", [HeadBank(SPACE, 8), BlindBank(SPACE, 8)])
def test_heads_of_either_task_share_a_pass_and_each_answers_as_alone(bank: HeadBank) -> None:
    """A bank that does not look whose slot it is answers one task's rows by the other's head, and is found out."""
    made = [graft(seed, classes=2 + seed % 5, each=seed % 2 == 0, scope=seed % 3 == 1) for seed in range(20)]
    slots = [bank.load(one) for one in made]
    inputs = features(200)
    turn: list[int] = np.random.default_rng(0).integers(0, 20, size=200).tolist()
    found = bank.probabilities([route(slots[head]) for head in turn], inputs)
    for head in range(20):
        own = [row for row, other in enumerate(turn) if other == head]
        alone = answer(bank, slots[head], inputs[own])
        for row, one in zip(own, alone, strict=True):
            together = found[row]
            assert isinstance(one, np.ndarray) and isinstance(together, np.ndarray)
            assert one.tobytes() == together.tobytes()
            np.testing.assert_allclose(one, expected(made[head], inputs[row : row + 1])[0], rtol=1e-5, atol=1e-5)
    bank.free(slots[0])
    other = graft(99, classes=made[0].head.weight.shape[0])
    assert bank.load(other).start == slots[0].start
    late = answer(bank, slots[0], inputs[:1])[0]
    assert isinstance(late, StaleSlot) == (not isinstance(bank, BlindBank))


def test_a_two_class_head_with_a_scope_takes_at_most_16_kib() -> None:
    bank = HeadBank(SPACE, 384)
    weight = heads_only(bank).weigh(graft(1, classes=2, dim=384, scope=True)).heads
    slot = bank.load(graft(1, classes=2, dim=384, scope=True))
    assert slot.rows * (384 + 1) * 4 + HEAD_OVERHEAD_BYTES == weight <= 16 << 10


def test_a_head_larger_than_a_page_gets_one_of_its_own() -> None:
    dim = 2_048
    bank, large, small = HeadBank(SPACE, dim), graft(1, 1_000, dim), graft(2, 2, dim)
    assert large.head.weight.nbytes > PAGE_BYTES
    slots = [bank.load(large), bank.load(small)]
    inputs = features(2, dim)
    found = bank.probabilities([route(slot) for slot in slots], inputs)
    # Logits of 2,048 products differ by more than those of the spaces served; the best label is what must not.
    assert [int(np.argmax(one)) for one in found if isinstance(one, np.ndarray)] == [
        int(expected(large, inputs[:1]).argmax()),
        int(expected(small, inputs[1:]).argmax()),
    ]


def test_pages_of_large_heads_go_with_them_however_they_grow() -> None:
    dim = 2_048
    bank = HeadBank(SPACE, dim)
    gone = slot = bank.load(graft(0, 600, dim))
    for classes in range(601, 610):
        new = bank.load(graft(classes, classes, dim))
        bank.free(slot)
        gone, slot = slot, new
        assert bank.resident_bytes < 2 * 610 * dim * 4
    inputs = features(1, dim)
    assert all(isinstance(found, StaleSlot) for found in answer(bank, gone, inputs)), "its page is no more"
    assert bank.load(graft(1, 600, dim)).page == gone.page, "the number of a page is given again"


def test_a_head_of_another_feature_space_is_refused() -> None:
    with pytest.raises(WrongFeatureSpace, match="fsp_other"):
        HeadBank(SPACE, 8).load(graft(1, space="fsp_other"))


def test_a_route_of_another_feature_space_is_refused() -> None:
    bank = HeadBank(SPACE, 8)
    slot = bank.load(graft(1))
    with pytest.raises(WrongFeatureSpace):
        bank.probabilities([route(slot, "fsp_other")], features(1))


def reused(bank: HeadBank) -> tuple[Slot, Slot]:
    """A slot that was freed, and the slot of another head in the very same rows."""
    gone = bank.load(graft(1))
    bank.free(gone)
    return gone, bank.load(graft(2))


def foreign_answers(bank: HeadBank) -> int:
    """How many rows of a freed head are answered by whose its rows are now."""
    gone, present = reused(bank)
    assert (gone.page, gone.start) == (present.page, present.start)
    inputs = features(10)
    return sum(is_right(found, graft(2), inputs[row]) for row, found in enumerate(answer(bank, gone, inputs)))


def test_a_stale_route_is_told_so_and_its_neighbours_are_answered() -> None:
    bank = HeadBank(SPACE, 8)
    gone, present = reused(bank)
    assert present.generation > gone.generation
    inputs = features(2)
    stale, good = bank.probabilities([route(gone), route(present)], inputs)
    assert isinstance(stale, StaleSlot)
    assert is_right(good, graft(2), inputs[1])
    assert foreign_answers(HeadBank(SPACE, 8)) == 0


def test_a_bank_that_ignores_generations_is_found_out() -> None:
    assert foreign_answers(BlindBank(SPACE, 8)) == 10


def test_a_freed_slot_answers_nobody() -> None:
    bank = HeadBank(SPACE, 8)
    slot = bank.load(graft(1))
    bank.free(slot)
    assert all(isinstance(found, StaleSlot) for found in answer(bank, slot, features(3)))


def wrong_answers_while_heads_come_and_go(bank: HeadBank) -> int:
    """Readers ask a head that stays and one that is replaced all the time; a stale slot is no wrong answer."""
    made = [graft(seed) for seed in range(4)]
    kept = bank.load(made[0])
    shared: list[tuple[Slot, Graft]] = [(bank.load(made[1]), made[1])]
    wrong: list[object] = []

    def reader(seed: int) -> None:
        inputs = features(16, seed=seed)
        for _ in range(150):
            slot, owner = shared[0]
            routes: list[Route] = [route(kept), route(slot)] * 8
            for row, found in enumerate(bank.probabilities(routes, inputs)):
                whose = made[0] if row % 2 == 0 else owner
                stale = row % 2 == 1 and isinstance(found, StaleSlot)
                if not stale and not is_right(found, whose, inputs[row]):
                    wrong.append(found)

    readers = [threading.Thread(target=reader, args=(seed,)) for seed in range(3)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads meet thousands of times instead of dozens
    try:
        for thread in readers:
            thread.start()
        for number in itertools.count():
            if not any(thread.is_alive() for thread in readers):
                break
            bank.free(shared[0][0])
            owner = made[1 + number % 3]
            shared[0] = (bank.load(owner), owner)
    finally:
        sys.setswitchinterval(usual)
    return len(wrong)


def test_heads_that_come_and_go_meanwhile_never_change_an_answer() -> None:
    assert wrong_answers_while_heads_come_and_go(HeadBank(SPACE, 8)) == 0


def test_the_same_search_finds_a_bank_that_ignores_generations() -> None:
    assert wrong_answers_while_heads_come_and_go(BlindBank(SPACE, 8)) > 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**6), st.integers(2, 40)), max_size=60))
def test_heads_never_overlap_and_freed_rows_join_again(steps: list[tuple[bool, int, int]]) -> None:
    dim = PAGE_BYTES // 4 // 128  # pages of 128 rows, so that several are needed
    bank, seeds = HeadBank(SPACE, dim), itertools.count()
    held: dict[Slot, Graft] = {}
    for frees, which, classes in steps:
        if frees and held:
            slot = list(held)[which % len(held)]
            del held[slot]
            bank.free(slot)
        else:
            made = graft(next(seeds), classes, dim)
            held[bank.load(made)] = made
    rows = [(slot.page, slot.start + number) for slot in held for number in range(slot.classes)]
    assert len(rows) == len(set(rows))
    inputs = features(1, dim)
    for slot, made in held.items():
        (found,) = answer(bank, slot, inputs)
        assert isinstance(found, np.ndarray)
        assert int(found.argmax()) == int(expected(made, inputs).argmax())
    for slot in held:
        bank.free(slot)
    pages = bank.resident_bytes // (PAGE_BYTES + 128 * 12)
    for number in range(pages):
        bank.load(graft(number, 128, dim))
    assert bank.resident_bytes // (PAGE_BYTES + 128 * 12) == pages, "every page was whole again"
