"""Routes that block hold no more threads for one tenant than its share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any

import anyio.to_thread
import httpx
from fastapi import APIRouter, FastAPI

from service.edge import StrictRoute
from service.guard import Receive, Send
from service.wiring import TENANT_CALLS
from tsugiki.runtime.shares import Shares

SOON_S = 30.0
THREADS = TENANT_CALLS + 2


def test_one_tenant_s_slow_calls_keep_no_other_from_being_answered() -> None:
    entered, done = threading.Semaphore(0), threading.Event()
    router = APIRouter(route_class=StrictRoute)

    @router.get("/slow")
    def slow() -> str:
        entered.release()
        assert done.wait(SOON_S)
        return "slow"

    @router.get("/quick")
    def quick() -> str:
        return "quick"

    @router.get("/inline")
    async def inline() -> str:
        return "inline"

    api = FastAPI()
    api.include_router(router)
    api.state.core = SimpleNamespace(shares=Shares(TENANT_CALLS))  # of all the core, what the route uses

    def client(tenant_id: str) -> httpx.AsyncClient:
        async def known(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            scope["state"] = {"principal": SimpleNamespace(tenant=SimpleNamespace(id=tenant_id))}
            await api(scope, receive, send)

        return httpx.AsyncClient(transport=httpx.ASGITransport(known), base_url="http://here", timeout=SOON_S)

    async def scenario() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        async with client("greedy") as greedy, client("other") as other:
            asked = [asyncio.create_task(greedy.get("/slow")) for _ in range(3 * THREADS)]
            for _ in range(TENANT_CALLS):
                assert await asyncio.to_thread(entered.acquire, timeout=SOON_S)
            assert (await other.get("/quick")).json() == "quick"
            assert (await greedy.get("/inline")).json() == "inline", "what does not block needs no thread"
            assert not entered.acquire(blocking=False), "its further calls wait for their turn"
            done.set()
            assert {reply.json() for reply in [await one for one in asked]} == {"slow"}

    asyncio.run(scenario())
