"""Requests by HEAD: what GET would answer, without its body."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from service.guard import App, Message, Receive, Send


class HeadRequests:
    """ASGI, behind the guard. The routes answer GET alone: each of them would be in the contract twice otherwise."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def headless(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b""})

        async def gone() -> Message:
            # Nothing follows the headers: a stream of events takes it that its reader has left.
            return {"type": "http.disconnect"} if ended else await receive()

        asked = {**scope, "method": "GET"}
        await self._app(asked, gone, headless)
        scope["route"] = asked.get("route")  # what it is counted under
