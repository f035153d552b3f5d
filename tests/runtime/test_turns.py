"""Texts of one turn of the event loop are prepared in one call, and nobody feels whose the others are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from tsugiki.backbones import Loaded
from tsugiki.domain import Prepared
from tsugiki.runtime.turns import TURN_CHARS, TURN_TEXTS, Turns

if TYPE_CHECKING:
    from tsugiki.domain import Content
    from tsugiki.runtime.turns import Rows

BROKEN = "no tokeniser reads this"


class Recorded:
    """The tiny network's own preparing, and what it was called with."""

    def __init__(self, tiny: Loaded) -> None:
        self._backbone = tiny.backbone
        self.calls: list[list[Content]] = []

    def __call__(self, contents: Sequence[Content]) -> Rows:
        self.calls.append(list(contents))
        if BROKEN in contents:
            raise RuntimeError(BROKEN)
        return self._backbone.prepare_each(contents)


def tokens(rows: Rows) -> list[list[int]]:
    return [row.row.tolist() for row in rows if isinstance(row, Prepared)]


def alone(tiny: Loaded, *texts: str) -> list[list[int]]:
    return tokens([tiny.backbone.prepare([text])[0] for text in texts])


def test_those_of_one_turn_are_prepared_together_and_each_gets_its_own(tiny: Loaded) -> None:
    recorded = Recorded(tiny)
    turns = Turns(recorded)

    async def ask() -> tuple[Rows, Rows, Rows]:
        return await asyncio.gather(turns.prepare(["a card"]), turns.prepare(["b", "the c"]), turns.prepare(["d"]))

    first, second, third = asyncio.run(ask())
    assert recorded.calls == [["a card", "b", "the c", "d"]]
    assert tokens(first) == alone(tiny, "a card")
    assert tokens(second) == alone(tiny, "b", "the c")
    assert tokens(third) == alone(tiny, "d")


def test_those_of_the_next_turn_are_prepared_by_themselves(tiny: Loaded) -> None:
    recorded = Recorded(tiny)
    turns = Turns(recorded)

    async def ask() -> None:
        await turns.prepare(["first"])
        await turns.prepare(["second"])

    asyncio.run(ask())
    assert recorded.calls == [["first"], ["second"]]


def test_what_cannot_be_prepared_fails_alone(tiny: Loaded) -> None:
    turns = Turns(Recorded(tiny))

    async def ask() -> list[Rows | BaseException]:
        asked = (turns.prepare([text]) for text in ("before", BROKEN, "behind"))
        return await asyncio.gather(*asked, return_exceptions=True)

    before, broken, behind = asyncio.run(ask())
    assert isinstance(broken, RuntimeError)
    assert not isinstance(before, BaseException)
    assert not isinstance(behind, BaseException)
    assert tokens(before) + tokens(behind) == alone(tiny, "before", "behind")


@pytest.mark.parametrize("text", ["a card", BROKEN])
def test_who_has_left_before_the_turn_ended_keeps_no_answer_from_others(tiny: Loaded, text: str) -> None:
    turns = Turns(Recorded(tiny))

    async def ask() -> Rows:
        leaving, staying = (asyncio.ensure_future(turns.prepare([one])) for one in (text, "stays"))
        asyncio.get_running_loop().call_soon(leaving.cancel)  # before the turn's end, which they ask for when they run
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert tokens(asyncio.run(ask())) == alone(tiny, "stays")


@pytest.mark.parametrize(
    ("texts", "room"),
    [
        (["a" * (TURN_CHARS - 1)], {(1, 1): True, (1, 2): False}),
        (["a"] * (TURN_TEXTS - 1), {(1, 1): True, (2, 2): False}),
    ],
)
def test_a_turn_has_no_room_for_more_than_so_many_texts_or_characters(
    tiny: Loaded, texts: list[str], room: dict[tuple[int, int], bool]
) -> None:
    turns = Turns(Recorded(tiny))

    async def ask() -> dict[tuple[int, int], bool]:
        assert turns.has_room(1, TURN_CHARS + 1), "the first of a turn, however long"
        found: dict[tuple[int, int], bool] = {}
        asked = asyncio.ensure_future(turns.prepare(texts))
        asyncio.get_running_loop().call_soon(lambda: found.update({more: turns.has_room(*more) for more in room}))
        await asked
        assert all(turns.has_room(*more) for more in room), "that turn is over"
        return found

    assert asyncio.run(ask()) == room


def test_an_event_loop_that_ended_in_a_turn_is_no_hindrance_to_the_next(tiny: Loaded) -> None:
    turns = Turns(Recorded(tiny))
    ended = asyncio.new_event_loop()
    task = ended.create_task(turns.prepare(["lost"]))
    ended.call_soon(ended.stop)
    ended.run_forever()
    assert not task.done()
    assert tokens(asyncio.run(turns.prepare(["answered"]))) == alone(tiny, "answered")
    ended.run_until_complete(task)
    ended.close()
