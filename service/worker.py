"""What a worker is made of, imported by workers alone: the core, and the API and the guard in front of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from service.drain import fall_first
from service.guard import App, Guard, Receive, Send
from service.idempotency import IdempotentReplies
from service.logs import write_log
from service.settings import read_settings
from service.supervision import end_with_supervisor
from service.verbs import adapt_verb, predict_verb
from service.wiring import wire
from tsugiki.errors import TsugikiError

if TYPE_CHECKING:
    import bentoml

    from service.core import Core

# In each of two pools, ours and the framework's; most wait for the disk or for a fit, not for a core. See TENANT_CALLS.
BLOCKING_CALLS = 64


@dataclass(frozen=True, slots=True)
class Worker:
    core: Core
    edge: App

    async def adapt(self, ctx: bentoml.Context, body: dict[str, Any]) -> dict[str, Any]:
        return await adapt_verb(self.core, ctx, body)

    async def predict(self, ctx: bentoml.Context, body: dict[str, Any]) -> dict[str, Any]:
        return await predict_verb(self.core, ctx, body)

    def settle(self) -> None:
        """What is left to do in the loop, in the main thread, when the server has set its handlers of signals."""
        # Blocking work has threads of its own: asyncio's default of a few would make tenants wait for one another's.
        pool = ThreadPoolExecutor(BLOCKING_CALLS, thread_name_prefix="work")
        asyncio.get_running_loop().set_default_executor(pool)
        to_thread.current_default_thread_limiter().total_tokens = BLOCKING_CALLS
        fall_first(self.core.draining, self.core.settings.notice_seconds)
        # What the start made stays: to look through its 160,000 objects for garbage stops everything for 90 ms.
        gc.collect()
        gc.freeze()


@cache
def worker() -> Worker:
    """The one of this process, made when it is first asked for. Raises SystemExit where it cannot be."""
    settings = read_settings()
    write_log(settings.log_format)
    end_with_supervisor()
    try:
        core = wire(settings)
    except TsugikiError as error:
        raise SystemExit(f"tsugiki: {error.detail} {error.fix}") from error
    from service.api import create_api, edge_of  # a second's work, while the network loads

    api = create_api()
    api.state.core = core
    return Worker(core, edge_of(api))


def guard(app: App) -> Guard:
    """In front of `app`, which is BentoML's.

    BentoML's other layers collect a span's attributes for every request, also where nobody takes spans (0.13 ms of the
    event loop's time, of 0.84 in all), and keep a timer of 800 bytes until `timeout` has passed, however soon the
    answer was. What waits for others here has limits and traces of its own; so the guard takes their place.
    """

    async def edge(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await worker().edge(scope, receive, send)  # BentoML builds its layers before its service starts

    return Guard(IdempotentReplies(app, _core), edge, _core, foremost=True)


def _core() -> Core:
    return worker().core
