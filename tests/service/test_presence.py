"""A caller who leaves is noticed while it waits, and its work stops; one who stays is answered as if nobody looked."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.requests import Request

from service.edge import WATCH_AFTER_S, while_connected
from tsugiki.errors import Unavailable

SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
Message = MutableMapping[str, Any]  # an ASGI message; Any because values differ by key


class Line:
    """A caller's connection: the end of a body, and then nothing until it is hung up."""

    def __init__(self) -> None:
        self.messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop()
        self.asked.set()
        await self.hung_up.wait()
        return {"type": "http.disconnect"}


def test_work_is_cancelled_once_its_caller_has_gone() -> None:
    async def scene() -> bool:
        line, stopped = Line(), asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        asked = asyncio.create_task(while_connected(Request(SCOPE, line.receive), work()))
        await line.asked.wait()
        line.hung_up.set()
        with pytest.raises(Unavailable, match="left"):
            await asked
        return stopped.is_set()

    assert asyncio.run(scene())


def test_a_caller_who_stays_gets_the_answer_and_nothing_is_left_waiting() -> None:
    async def scene(held: bool) -> tuple[str, int]:
        line = Line()

        async def work() -> str:
            if held:
                await line.asked.wait()
            return "answer"

        answer = await while_connected(Request(SCOPE, line.receive), work())
        await asyncio.sleep(0)  # lets a cancelled watcher end
        return answer, len(asyncio.all_tasks()) - 1

    assert WATCH_AFTER_S > 0
    assert asyncio.run(scene(held=False)) == ("answer", 0)
    assert asyncio.run(scene(held=True)) == ("answer", 0)


def test_a_fault_of_the_work_is_raised_as_it_is() -> None:
    async def work() -> None:
        raise TimeoutError("its own")

    async def scene() -> None:
        await while_connected(Request(SCOPE, Line().receive), work())

    with pytest.raises(TimeoutError, match="its own"):
        asyncio.run(scene())
