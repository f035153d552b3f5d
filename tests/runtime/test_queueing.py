"""Whose turn it is: fair in tokens, in passes of rows that belong together."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.passes import Passes
from tsugiki.domain import Prepared
from tsugiki.runtime.queueing import STRETCH, FairQueue
from tsugiki.runtime.route import LoraSlot, OwnNetwork, Rack, Route, Slot
from tsugiki.runtime.tickets import Row, Ticket

RACK, OTHER_RACK = Rack(("query",), 8), Rack(("query",), 16)
Delta = LoraSlot | OwnNetwork | None


def row(tenant: str, tokens: int, delta: Delta = None) -> Row:
    route = Route(tenant, "fsp", Slot(0, 0, 2, 1), delta)
    return Row(Ticket(tenant, route, [None], 1, Future()), 0, Prepared(np.zeros(tokens, np.int64), tokens))


def filled(*rows: Row) -> FairQueue:
    queue = FairQueue()
    for one in rows:
        queue.push(one)
    return queue


def tenants(rows: list[Row]) -> list[str]:
    return [one.ticket.tenant_id for one in rows]


def test_tenants_get_the_same_tokens_whatever_the_length_of_their_rows() -> None:
    queue = filled(*[row("long", 128) for _ in range(64)], *[row("short", 16) for _ in range(512)])
    served: Counter[str] = Counter()
    for _ in range(32):
        for one in queue.take(256):
            served[one.ticket.tenant_id] += one.size
    assert abs(served["long"] - served["short"]) <= 256, served


def test_one_that_comes_anew_goes_next_and_saves_nothing_up() -> None:
    queue = filled(*[row("flood", 16) for _ in range(100)])
    for _ in range(5):
        queue.take(64)
    for _ in range(8):
        queue.push(row("quiet", 16))
    batch = queue.take(64)
    assert Counter(tenants(batch)) == {"flood": 2, "quiet": 2}, "turn by turn from now on, not until it has caught up"


@pytest.mark.parametrize("tokens", [25, 100, 512])
def test_one_that_never_waits_and_never_rests_gets_no_more_than_those_who_wait(tokens: int) -> None:
    queue = filled(*[row(name, 16) for name in "bc" for _ in range(1_000)], row("busy", tokens))
    served: Counter[str] = Counter()
    for _ in range(60):
        batch = queue.take(512)
        if not queue.of("busy").rows:
            queue.push(row("busy", tokens))  # comes while its last one is in the pass
        for one in batch:
            served[one.ticket.tenant_id] += one.size
    assert served["busy"] <= served["b"] + 512
    assert served["busy"] <= served["c"] + 512


def test_what_tenants_had_is_forgotten_once_others_have_caught_up_or_nobody_waits() -> None:
    queue = filled(row("once", 256), *[row("flood", 16) for _ in range(100)])
    while queue.size:
        queue.take(256)
    for name in ("once", "other"):
        queue.push(row(name, 16))
    assert tenants(queue.take(16)) == ["once"], "nobody waited: it is no further than others"
    queue = filled(row("once", 256), *[row("flood", 16) for _ in range(100)])
    for _ in range(4):
        queue.take(256)
    for name in ("once", "other"):
        queue.push(row(name, 16))
    assert "once" in tenants(queue.take(64))


def test_a_flood_joins_few_rows_of_others_with_no_more_of_its_own() -> None:
    queue = filled(*[row("flood", 16) for _ in range(100)])
    assert tenants(queue.take(256)) == ["flood"] * 16, "alone it fills a pass"
    queue.push(row("quiet", 16))
    assert tenants(queue.take(256)) == ["quiet", "flood"]
    assert tenants(queue.take(256)) == ["flood"] * 16
    for name in ("quiet", "still", "silent"):
        queue.push(row(name, 16))
    queue.push(row("flood", 20))
    batch = queue.take(256)
    assert Counter(tenants(batch))["flood"] == 3
    assert set(tenants(batch)) == {"quiet", "still", "silent", "flood"}
    queue.push(row("quiet", 16))
    assert tenants(queue.take(1_024)) == ["quiet", *["flood"] * 4], "a large pass has room for it"


def test_a_pass_of_many_is_full_although_some_ask_more_than_others() -> None:
    queue = filled(*[row(f"t{n % 7 * (n % 3)}", 16) for n in range(64)])
    assert [len(queue.take(256)) for _ in range(3)] == [16, 16, 16]


def test_a_pass_holds_rows_of_near_lengths_nearest_first() -> None:
    queue = filled(row("a", 20), row("b", 29), row("c", 31), row("d", 22), row("e", 13), row("f", 200))
    assert tenants(queue.take(10_000)) == ["a", "d", "b"] + ["e"] * (20 <= STRETCH * 13)
    assert queue.size == 3 - (20 <= STRETCH * 13)


def test_a_pass_is_full_of_what_may_join_the_leading_row() -> None:
    queue = filled(*[row("a", 16) for _ in range(12)], *[row("b", 60) for _ in range(4)])
    assert not queue.fills(256), "rows of sixty tokens are no part of it"
    queue.push(row("c", 17, LoraSlot(RACK, 1, 1)))
    queue.push(row("d", 18))
    assert queue.fills(192 + 17 + 18)
    assert not queue.fills(192 + 17 + 18 + 1)
    assert len(queue.take(256)) == 14
    assert not queue.fills(256)


@given(st.lists(st.integers(1, 64), min_size=1, max_size=60), st.integers(1, 300))
def test_every_row_is_taken_once_and_no_pass_is_larger_than_it_may_be(lengths: list[int], tokens: int) -> None:
    rows = [row(f"t{number % 5}", length) for number, length in enumerate(lengths)]
    queue = filled(*rows)
    taken: list[Row] = []
    while batch := queue.take(tokens):
        longest = max(one.size for one in batch)
        assert len(batch) == 1 or len(batch) * longest <= tokens
        assert longest <= max(STRETCH * STRETCH * min(one.size for one in batch), 1)
        taken += batch
    assert {id(one) for one in taken} == {id(one) for one in rows}
    assert len(taken) == len(rows)
    assert queue.size == 0
    assert queue.tokens == 0
    assert all(queue.of(f"t{number}") == (0, 0) for number in range(5))


def test_rows_without_an_adapter_go_with_one_rack_and_racks_go_apart() -> None:
    queue = filled(
        row("plain", 16), row("lora", 16, LoraSlot(RACK, 1, 1)), row("other", 16, LoraSlot(OTHER_RACK, 1, 1))
    )
    first, second = queue.take(256), queue.take(256)
    assert sorted(map(tuple, (tenants(first), tenants(second)))) == [("other",), ("plain", "lora")]


def test_a_network_of_its_own_shares_passes_with_itself_only() -> None:
    own, another = OwnNetwork(Passes()), OwnNetwork(Passes())
    rows = [row("a", 16, own), row("b", 16, another), row("c", 16), row("d", 16, own), row("e", 16)]
    queue = filled(*rows)
    batches = [tenants(queue.take(256)) for _ in range(3)]
    assert batches == [["a", "d"], ["b"], ["c", "e"]]


def test_rows_whose_caller_has_left_cost_nobody_a_turn() -> None:
    left, stays = row("a", 16), row("a", 16)
    queue = filled(left, row("b", 16), stays)
    assert left.ticket.future.cancel()
    queue.leave(left.ticket)
    assert (queue.of("a"), queue.tokens) == ((2, 16), 32), "what nobody waits for is no work"
    queue.leave(left.ticket)
    assert tenants(queue.take(0)) == ["b"]
    assert tenants(queue.take(0)) == ["a"]
    assert queue.leader() is None
    assert (queue.size, queue.tokens) == (0, 0)


def test_a_row_that_was_taken_before_its_caller_left_is_not_taken_off_twice() -> None:
    both = Ticket("a", None, [None] * 2, 2, Future())
    queue = filled(*[Row(both, index, Prepared(np.zeros(16, np.int64), 16)) for index in range(2)], row("a", 8))
    assert len(queue.take(0)) == 1
    queue.leave(both)
    assert queue.of("a") == (2, 8)
    assert both.future.cancel()
    assert [one.size for one in (*queue.take(0), *queue.take(0))] == [8]
    assert queue.of("a") == (0, 0)
