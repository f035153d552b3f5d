"""The one queue of all tenants: who goes when, what is refused, and that nobody's failure is another's."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.runtime.passes import POISON, Passes, batcher, row
from tsugiki.errors import Overloaded, TsugikiError, Unavailable
from tsugiki.runtime.admission import Limits
from tsugiki.runtime.batcher import BULK_TURN, Batcher, Lane, Passed
from tsugiki.runtime.mending import EngineLost
from tsugiki.runtime.route import Route
from tsugiki.runtime.tickets import Replies

if TYPE_CHECKING:
    from tsugiki.domain import InputRow

SOON_S = 30  # a test that waits so long has hung


@pytest.fixture
def engine() -> Iterator[Passes]:
    """Released at the end, so that a failing test does not leave a worker behind."""
    passes = Passes()
    yield passes
    passes.release()


def ask(to: Batcher, tenant: str, *numbers: int, tokens: int = 8, lane: Lane = Lane.INTERACTIVE) -> Future[Replies]:
    return to.submit(tenant, [row(number, tokens) for number in numbers], None, lane)


def told(future: Future[Replies]) -> list[int | str]:
    """The numbers the rows were made of, or the codes of their errors."""
    replies = future.result(SOON_S).replies
    return [reply.reason if isinstance(reply, TsugikiError) else int(reply[0]) for reply in replies]


def plugged(engine: Passes, to: Batcher, lane: Lane = Lane.INTERACTIVE) -> Future[Replies]:
    """Holds a worker in a pass of its own, so that what comes next queues up."""
    while engine.entered.acquire(blocking=False):
        pass  # passes before this one
    engine.hold()
    plug = ask(to, "plug", 0, lane=lane)
    assert engine.entered.acquire(timeout=SOON_S)
    return plug


def test_a_lone_row_runs_at_once_and_alone(engine: Passes) -> None:
    work = batcher(engine)
    assert told(ask(work, "a", 7)) == [7]
    assert engine.seen == [[7]]
    work.close()


def test_replies_come_in_the_order_of_the_rows_whatever_their_lengths(engine: Passes) -> None:
    work = batcher(engine, workers=2)
    lengths = [(number * 37) % 90 + 1 for number in range(200)]
    rows = [row(number, length) for number, length in enumerate(lengths)]
    replies = work.submit("a", rows, None, Lane.INTERACTIVE).result(SOON_S).replies
    assert [reply.tolist() for reply in replies if isinstance(reply, np.ndarray)] == [
        [number, length] for number, length in enumerate(lengths)
    ]
    work.close()


def test_no_rows_are_answered_without_a_pass(engine: Passes) -> None:
    work = batcher(engine)
    assert told(ask(work, "a")) == []
    work.close()
    assert engine.seen == []


def test_a_failing_engine_fails_the_row_and_not_the_worker(engine: Passes) -> None:
    work = batcher(engine)
    assert told(ask(work, "a", POISON)) == ["unavailable"]
    assert told(ask(work, "a", 1)) == [1]
    work.close()


def test_only_the_poison_row_of_a_pass_fails(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=512))
    plug = plugged(engine, work)
    asked = {tenant: ask(work, tenant, *range(10 * n, 10 * n + 8)) for n, tenant in enumerate("abcd", 1)}
    poisoned = ask(work, "e", 1, POISON, 2)
    engine.release()
    assert told(plug) == [0]
    for n, tenant in enumerate("abcd", 1):
        assert told(asked[tenant]) == list(range(10 * n, 10 * n + 8))
    assert told(poisoned) == [1, "unavailable", 2]
    assert len(engine.seen[1]) == 35, "they had shared one pass"
    assert len(engine.seen) <= 2 + 2 * 6, "halving 35 rows takes two passes for each of six levels"
    work.close()


def test_rows_whose_caller_has_left_are_skipped(engine: Passes) -> None:
    work = batcher(engine)
    plug = plugged(engine, work)
    left, stayed = ask(work, "a", 1, 2), ask(work, "a", 3)
    assert left.cancel()
    engine.release()
    assert told(stayed) == [3]
    assert told(plug) == [0]
    assert engine.seen == [[0], [3]]
    assert work.waiting == 0
    work.close()


def test_a_tenant_with_too_much_waiting_is_refused_and_others_are_not(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(tenant_rows=10, total_rows=15))
    plug = plugged(engine, work)
    first = ask(work, "a", *range(1, 9))
    with pytest.raises(Overloaded, match="of this tenant"):
        ask(work, "a", 1, 2, 3)
    second = ask(work, "b", 9, 10, 11)
    with pytest.raises(Overloaded, match="the service"):
        ask(work, "c", 1, 2, 3, 4, 5)
    assert work.waiting == 11, "a refused request leaves nothing behind"
    engine.release()
    assert [told(plug), told(first), told(second)] == [[0], list(range(1, 9)), [9, 10, 11]]
    assert told(ask(work, "a", 1, 2, 3)) == [1, 2, 3]
    work.close()


def test_tenants_take_turns_row_by_row(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=8 * 6))
    plug = plugged(engine, work)
    many, few = ask(work, "a", *range(100, 120)), ask(work, "b", 1, 2, 3)
    engine.release()
    assert told(few) == [1, 2, 3]
    assert told(many) == list(range(100, 120))
    assert engine.seen[1] == [100, 1, 101, 2, 102, 3]
    assert told(plug) == [0]
    work.close()


def test_a_flood_of_one_length_does_not_delay_a_row_of_another(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64))
    plug = plugged(engine, work)
    flood = ask(work, "a", *range(100, 180))
    quiet = ask(work, "b", 1, tokens=60)
    engine.release()
    assert told(quiet) == [1]
    assert told(flood) == list(range(100, 180))
    assert engine.seen.index([1]) == 2, "after the plug and one pass of the flood"
    assert told(plug) == [0]
    work.close()


def test_interactive_rows_go_before_bulk_and_bulk_passes_are_short(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64))
    plug = plugged(engine, work)
    bulk = ask(work, "a", *range(100, 112), lane=Lane.BULK)
    interactive = ask(work, "b", *range(1, 9))
    engine.release()
    assert told(bulk) == list(range(100, 112))
    assert told(interactive) == list(range(1, 9))
    assert engine.seen[1] == list(range(1, 9))
    assert [len(one) for one in engine.seen[2:]] == [4, 4, 4]
    assert told(plug) == [0]
    work.close()


def test_bulk_has_its_turn_however_much_others_ask(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=8))
    plug = plugged(engine, work)
    flood = ask(work, "b", *range(1, 4 * BULK_TURN))
    bulk = ask(work, "a", 100, 101, lane=Lane.BULK)
    engine.release()
    assert told(bulk) == [100, 101]
    assert told(flood) == list(range(1, 4 * BULK_TURN))
    order = [one[0] for one in engine.seen]
    assert (order.index(100), order.index(101)) == (BULK_TURN, 2 * BULK_TURN)
    assert told(plug) == [0]
    work.close()


def test_bulk_s_turn_is_not_saved_up_while_it_waits_for_nothing(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=8))
    assert told(ask(work, "b", *range(1, 3 * BULK_TURN))) == list(range(1, 3 * BULK_TURN))
    plug = plugged(engine, work)
    bulk, interactive = ask(work, "a", 100, lane=Lane.BULK), ask(work, "b", 200)
    engine.release()
    assert told(bulk) == [100]
    assert told(interactive) == [200]
    assert engine.seen[-2:] == [[200], [100]]
    assert told(plug) == [0]
    work.close()


def test_bulk_never_holds_the_last_worker(engine: Passes) -> None:
    work = batcher(engine, workers=3, limits=Limits(batch_tokens=16))
    engine.hold()
    bulk = ask(work, "a", *range(100, 110), lane=Lane.BULK)
    assert engine.entered.acquire(timeout=SOON_S)
    assert engine.entered.acquire(timeout=SOON_S)
    assert work.waiting == 8, "two of three workers have taken a bulk row each"
    interactive = ask(work, "b", 1)
    assert engine.entered.acquire(timeout=SOON_S), "the third was free for it"
    engine.release()
    assert told(interactive) == [1]
    assert told(bulk) == list(range(100, 110))
    work.close()


@pytest.mark.parametrize("express", [True, False])
def test_closing_finishes_what_is_queued_and_takes_no_more(engine: Passes, express: bool) -> None:
    work = batcher(engine, workers=2, limits=Limits(batch_tokens=16), express=express)
    plug = plugged(engine, work)
    bulk = ask(work, "a", *range(100, 120), lane=Lane.BULK)
    interactive = ask(work, "b", 1, 2)
    closing = threading.Thread(target=work.close)
    closing.start()
    engine.release()
    closing.join(SOON_S)
    assert not closing.is_alive()
    assert [told(plug), told(bulk), told(interactive)] == [[0], list(range(100, 120)), [1, 2]]
    with pytest.raises(Unavailable, match="shutting down"):
        ask(work, "a", 1)


def test_many_threads_get_their_own_answers(engine: Passes) -> None:
    work = batcher(engine, workers=3, limits=Limits(batch_tokens=128))
    wrong: list[object] = []

    def client(me: int) -> None:
        random = np.random.default_rng(me)
        for turn in range(60):
            numbers = [1000 * (me + 1) + int(n) for n in random.integers(0, 600, size=random.integers(1, 9))]
            poisoned = turn % 7 == 0
            rows = [row(number, int(random.integers(1, 40))) for number in numbers] + [row(POISON)] * poisoned
            future = work.submit(f"t{me % 3}", rows, None, Lane(turn % 2))
            if turn % 5 == 0 and future.cancel():
                continue
            try:
                found = told(future)
            except CancelledError:
                found = ["cancelled"]
            if found != numbers + ["unavailable"] * poisoned:
                wrong.append((numbers, found))

    threads = [threading.Thread(target=client, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    assert wrong == []
    assert not any(thread.is_alive() for thread in threads)
    work.close()
    assert work.waiting == 0


def test_a_row_of_another_tenant_does_not_wait_for_passes_that_one_owns(engine: Passes) -> None:
    work = batcher(engine, workers=2, limits=Limits(batch_tokens=64), express=True)
    engine.hold()
    flood = ask(work, "flood", *range(100, 132))
    assert engine.entered.acquire(timeout=SOON_S)
    assert engine.entered.acquire(timeout=SOON_S)
    more = ask(work, "flood", *range(200, 216))
    quiet = ask(work, "quiet", 1, 2)
    assert engine.entered.acquire(timeout=SOON_S), "a third pass began, beside two workers"
    assert work.waiting == 16 + 16 + 1, "with a single row of the quiet tenant"
    engine.release()
    assert told(quiet) == [1, 2]
    assert [told(flood), told(more)] == [list(range(100, 132)), list(range(200, 216))]
    assert engine.at_once == [[1]], "which waits for no pass that was there before; its neighbour had a worker"
    work.close()


def test_while_all_are_busy_a_full_pass_is_handed_on_and_no_smaller_one(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64), ahead=True)
    engine.hold()
    plug = ask(work, "a", 0)
    assert engine.entered.acquire(timeout=SOON_S)
    some = ask(work, "a", *range(1, 8))
    assert not engine.entered.acquire(timeout=0.1), "seven rows are less than a pass: more may join them"
    more = ask(work, "a", 8)
    assert engine.entered.acquire(timeout=SOON_S), "with the eighth they are one"
    others = ask(work, "b", *range(9, 17))
    assert work.waiting == 8, "one pass ahead of time is enough"
    engine.release()
    assert [told(some), told(more), told(others)] == [list(range(1, 8)), [8], list(range(9, 17))]
    assert told(plug) == [0]
    assert engine.at_once == []
    work.close()


def test_a_pass_ahead_of_time_keeps_neither_bulk_from_its_turn_nor_others_from_theirs(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64), ahead=True, express=True)
    engine.hold()
    flood = ask(work, "flood", *range(100, 100 + 8 * 3 * BULK_TURN))
    bulk = ask(work, "a", *range(1_000, 1_010), lane=Lane.BULK)
    assert engine.entered.acquire(timeout=SOON_S)
    assert engine.entered.acquire(timeout=SOON_S), "the flood's second pass waits in the engine"
    quiet = ask(work, "quiet", 1)
    assert engine.entered.acquire(timeout=SOON_S), "both passes are one tenant's, so another's row runs beside them"
    engine.release()
    assert [told(quiet), told(bulk)] == [[1], list(range(1_000, 1_010))]
    assert told(flood) == list(range(100, 100 + 8 * 3 * BULK_TURN))
    assert engine.at_once[0] == [1]
    places = {first: place for place, (first, *_) in enumerate(engine.seen)}
    assert places[1_000] < places[1_004] < len(engine.seen) - BULK_TURN, "bulk's rows went among the flood's"
    work.close()


def test_a_row_becomes_express_when_its_tenant_s_pass_ends_and_only_another_s_are_left(engine: Passes) -> None:
    work = batcher(engine, workers=2, limits=Limits(batch_tokens=64), ahead=True, express=True)
    asked: list[Future[Replies]] = []
    gates = [engine.gate(number) for number in (100, 200, 300)]
    for tenant, first in (("flood", 100), ("other", 200), ("flood", 300)):
        asked.append(ask(work, tenant, *range(first, first + 8)))
        assert engine.entered.acquire(timeout=SOON_S)
    gates.append(engine.gate(400))
    third = ask(work, "third", 400)
    assert engine.entered.acquire(timeout=SOON_S), "beside passes that each have an owner"
    last = ask(work, "other", 208)
    gates[3].set()
    assert told(third) == [400]  # then the express thread finds that the other has a pass of its own
    gates[1].set()
    assert engine.entered.acquire(timeout=SOON_S), "two passes are out still, both the flood's"
    assert told(last) == [208]
    for gate in gates:
        gate.set()
    assert [told(one)[0] for one in asked] == [100, 200, 300]
    assert engine.at_once == [[400], [208]]
    work.close()


def test_without_an_owner_nobody_runs_beside_the_workers(engine: Passes) -> None:
    work = batcher(engine, workers=1, limits=Limits(batch_tokens=64), express=True)
    plug = plugged(engine, work)
    mixed = [ask(work, f"t{number}", number) for number in range(8)]
    # The plug's pass is owned by its tenant, so the first of the others runs beside it.
    assert engine.entered.acquire(timeout=SOON_S)
    engine.release()
    assert [told(one) for one in mixed] == [[number] for number in range(8)]
    assert told(plug) == [0]
    work.close()


def test_a_lost_engine_fails_the_whole_pass_at_once() -> None:
    passes: list[int] = []

    def lost(rows: Sequence[InputRow], routes: Sequence[Route | None], at_once: bool) -> Passed:
        passes.append(len(rows))
        raise EngineLost

    work = Batcher(lost, workers=1, limits=Limits(batch_tokens=512))
    assert set(told(ask(work, "a", *range(20)))) == {"engine_fault"}
    assert sum(passes) == 20, "no row was tried twice"
    work.close()


def test_more_seconds_of_work_than_may_wait_are_refused_at_once(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64, wait_s=1e-9))
    plug = plugged(engine, work)
    queued = ask(work, "a", *range(1, 17))
    engine.release()
    assert told(plug) == [0]
    assert told(queued) == list(range(1, 17)), "while no full pass has told the pace, nobody is refused by it"
    assert told(ask(work, "a", 1)) == [1], "nor where nothing waits"
    plug = plugged(engine, work)
    first = ask(work, "a", *range(1, 9))
    for tenant in ("a", "b"):
        with pytest.raises(Overloaded, match="s of work are waiting") as refused:
            ask(work, tenant, 9)
        assert refused.value.retry_after_s >= 1
    bulk = ask(work, "b", 10, lane=Lane.BULK)
    engine.release()
    assert [told(plug), told(first), told(bulk)] == [[0], list(range(1, 9)), [10]]
    work.close()


def paced(engine: Passes, to: Batcher, tokens_per_s: float) -> None:
    """What the engine can do is known to the batcher, by full passes."""
    engine.tokens_per_s = tokens_per_s
    assert told(ask(to, "first", *range(1, 200))) == list(range(1, 200))


def test_a_tenant_with_nothing_waiting_has_room_beside_a_flood(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64))
    paced(engine, work, 1_000)
    plug = plugged(engine, work)
    flood: list[Future[Replies]] = []
    with pytest.raises(Overloaded, match="s of work"):
        for number in range(1, 1_000):
            flood.append(ask(work, "a", number))
    assert len(flood) * 8 / 1_000 == pytest.approx(1.0, abs=0.01), "a second of its own"
    quiet = ask(work, "b", 1)
    engine.release()
    assert [told(plug), told(quiet)] == [[0], [1]]
    assert [told(one) for one in flood] == [[number + 1] for number in range(len(flood))]
    work.close()


def test_one_request_of_many_seconds_keeps_no_other_tenant_out(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64))
    paced(engine, work, 1_000)
    plug, before = plugged(engine, work), len(engine.seen)
    large = ask(work, "a", *range(100, 600), tokens=40)
    with pytest.raises(Overloaded, match=r"20\.0 s of work") as refused:
        ask(work, "a", 1)
    assert refused.value.retry_after_s in (20, 21)
    work.check("b", 9, Lane.INTERACTIVE)
    few = ask(work, "b", *range(1, 10))
    with pytest.raises(Overloaded, match="s of work"):
        ask(work, "c", *range(300), tokens=40)
    engine.release()
    assert [told(plug), told(few)] == [[0], list(range(1, 10))]
    assert told(large) == list(range(100, 600))
    last = max(number for number, rows in enumerate(engine.seen) if 9 in rows)
    assert last - before <= 6, "of 500 passes"
    work.close()


def test_many_tenants_with_little_each_are_refused_where_it_is_too_much_together(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64))
    paced(engine, work, 1_000)
    plug = plugged(engine, work)
    asked: list[Future[Replies]] = []
    with pytest.raises(Overloaded, match=r"2\.0 s of work"):
        for number in range(1_000):
            asked.append(ask(work, f"t{number}", number))
    assert len(asked) * 8 == pytest.approx(2_000, abs=8)
    with pytest.raises(Overloaded, match=r"2\.0 s of work"):
        work.check("new", 1, Lane.INTERACTIVE)
    engine.release()
    assert told(plug) == [0]
    assert [told(one) for one in asked] == [[number] for number in range(len(asked))]
    work.close()


def test_rows_whose_caller_has_left_are_no_work_that_others_wait_for(engine: Passes) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64))
    paced(engine, work, 1_000)
    plug = plugged(engine, work)
    for _ in range(3):  # each more than the tenant may have ahead of its next
        left = ask(work, "a", *range(100, 300))
        with pytest.raises(Overloaded, match="s of work"):
            ask(work, "a", 1)
        assert left.cancel()
    again = ask(work, "a", 1)
    engine.release()
    assert [told(plug), told(again)] == [[0], [1]]
    work.close()


@pytest.mark.parametrize("first", [[1.0, 1_000.0], [1_000.0, 1.0, *[1_000.0] * 9]])
def test_a_slow_pass_at_first_does_not_say_for_long_what_the_engine_can_do(
    engine: Passes, first: Sequence[float]
) -> None:
    work = batcher(engine, limits=Limits(batch_tokens=64))
    for tokens_per_s in first:
        engine.tokens_per_s = tokens_per_s
        assert told(ask(work, "a", *range(8))) == list(range(8))
    plug = plugged(engine, work)
    waiting = [ask(work, "a", number) for number in range(100)]  # 0.8 s of 1,000 tokens a second
    engine.release()
    assert told(plug) == [0]
    assert [told(one) for one in waiting] == [[number] for number in range(100)]
    work.close()
