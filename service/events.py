"""An adaptation's events as text/event-stream, for as long as it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import orjson

from service import replies
from service.verbs import ENDED
from tsugiki.errors import TsugikiError

if TYPE_CHECKING:
    from service.core import Core
    from tsugiki.domain import Event

LOOK_EVERY_S = 0.25  # as often as a running job tells how far it is
ALIVE_EVERY_S = 15.0  # a comment: proxies close what is silent for half a minute
RETRY = b"retry: 500\n\n"  # ms, after which a client asks for what came after its last id


class _News(NamedTuple):
    events: Sequence[Event]
    ended: bool


async def stream(core: Core, tenant_id: str, adaptation_id: str, seen: int) -> AsyncIterator[bytes]:
    """Events after `seen` as they come. Ends with the job, with the job's erasure, and when the service drains."""
    with core.streams.opened(tenant_id):
        async for chunk in _flow(core, tenant_id, adaptation_id, seen):
            yield chunk


async def _flow(core: Core, tenant_id: str, adaptation_id: str, seen: int) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    yield RETRY
    alive = loop.time()
    while True:
        try:
            news = await asyncio.to_thread(_news, core, tenant_id, adaptation_id, seen)
        except TsugikiError:
            return  # erased, or the store is away: who asks again is told
        if news.events:
            yield b"".join(_line(event) for event in news.events)
            seen, alive = news.events[-1].seq, loop.time()
        if news.ended or core.draining.is_set():
            return
        if loop.time() - alive > ALIVE_EVERY_S:
            yield b":\n\n"
            alive = loop.time()
        await asyncio.sleep(LOOK_EVERY_S)


def _news(core: Core, tenant_id: str, adaptation_id: str, seen: int) -> _News:
    # In this order: what was written before it ended is read after it was seen to have ended.
    ended = core.adaptations.get(tenant_id, adaptation_id).status in ENDED
    return _News(core.adaptations.events(adaptation_id, seen), ended)


def _line(event: Event) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.type.encode(), orjson.dumps(replies.event(event)))
