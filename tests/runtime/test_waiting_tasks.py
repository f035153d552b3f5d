"""Tasks that wait for their rows: each loop is woken once a pass, and what becomes of a loop is no worker's concern."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.runtime.passes import Passes, batcher, row
from tsugiki.errors import TsugikiError
from tsugiki.runtime.batcher import Batcher, Lane
from tsugiki.runtime.tickets import Replies

SOON_S = 30  # a test that waits so long has hung


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often a thread has woken it."""

    woken = 0

    def call_soon_threadsafe(self, *arguments: Any, **named: Any) -> asyncio.Handle:
        self.woken += 1
        return super().call_soon_threadsafe(*arguments, **named)


def told(replies: Replies) -> list[int | str]:
    return [reply.reason if isinstance(reply, TsugikiError) else int(reply[0]) for reply in replies.replies]


def asked(to: Batcher, *numbers: int) -> asyncio.Future[Replies]:
    return to.ask("a", [row(number, 8) for number in numbers], None, Lane.INTERACTIVE)


def in_loop(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    loop.run_until_complete(asyncio.wait_for(work, SOON_S))


def test_all_who_wait_for_one_pass_are_told_by_waking_their_loop_once() -> None:
    engine, loop = Passes(), CountingLoop()
    work = batcher(engine)

    async def eight() -> None:
        engine.hold()
        plug = asked(work, 0)
        engine.entered.acquire()
        waiting = [asked(work, number) for number in range(1, 9)]
        engine.release()
        assert [told(await one) for one in (plug, *waiting)] == [[number] for number in range(9)]

    in_loop(loop, eight())
    assert engine.seen == [[0], list(range(1, 9))]
    assert loop.woken == 2, "one for each pass"

    async def one_by_one() -> None:
        for number in range(8):
            assert told(await asked(work, number)) == [number]

    in_loop(loop, one_by_one())
    assert loop.woken == 2 + 8, "the count sees every pass"
    work.close()
    loop.close()


def test_rows_of_a_cancelled_task_are_skipped_and_the_others_of_its_pass_answered() -> None:
    engine, loop = Passes(), CountingLoop()
    work = batcher(engine)

    async def two() -> None:
        engine.hold()
        plug = asked(work, 0)
        engine.entered.acquire()
        left, stayed = asked(work, 1), asked(work, 2)
        assert left.cancel()
        engine.release()
        assert told(await stayed) == [2]
        assert told(await plug) == [0]

    in_loop(loop, two())
    assert engine.seen == [[0], [2]]
    work.close()
    loop.close()


def test_a_task_that_leaves_during_its_pass_takes_nobody_along() -> None:
    engine, loop = Passes(), CountingLoop()
    work = batcher(engine)

    async def leave() -> None:
        engine.hold()
        left = asked(work, 1)
        engine.entered.acquire()
        assert left.cancel()
        engine.release()
        assert told(await asked(work, 2)) == [2]

    in_loop(loop, leave())
    assert engine.seen == [[1], [2]]
    work.close()
    loop.close()


def test_a_loop_that_is_closed_meanwhile_costs_no_worker() -> None:
    engine, loop = Passes(), CountingLoop()
    work = batcher(engine)

    async def ask_and_go() -> None:
        engine.hold()
        asked(work, 1)
        engine.entered.acquire()

    in_loop(loop, ask_and_go())
    loop.close()
    engine.release()
    thread = work.submit("b", [row(2, 8)], None, Lane.INTERACTIVE)
    assert told(thread.result(SOON_S)) == [2]
    assert work.alive
    work.close()
