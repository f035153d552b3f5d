"""Read your writes, whichever process answers: a reply tells how new it is, a request how new its answer must be."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.datastructures import Headers

from service.guard import App, Message, Receive, Send
from service.idempotency import reads
from tsugiki.errors import Invalid, TsugikiError

if TYPE_CHECKING:
    from service.core import Core

log = logging.getLogger("tsugiki.tokens")

HEADER = "x-version-token"
MAX_DIGITS = 18  # of a number that any database holds


class VersionTokens:
    """ASGI, behind the guard. Nothing is added where one process serves: it knows its own changes.

    A token is the number of a change: whoever sends it is answered by a process that has heeded all up to it. Replies
    to predictions carry none, for they are the reads.
    """

    def __init__(self, api: FastAPI, app: App) -> None:
        self._api = api
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        core: Core | None = getattr(self._api.state, "core", None)
        if scope["type"] != "http" or core is None or core.watcher is None or not core.several:
            await self._app(scope, receive, send)
            return
        watcher = core.watcher
        if (given := Headers(scope=scope).get(HEADER)) is not None:
            await core.clerks.run(watcher.catch_up, _number(given))
        if reads(scope) or "principal" not in scope.get("state", ()):
            await self._app(scope, receive, send)
            return

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                try:
                    token = str(await core.clerks.run(watcher.last)).encode()
                except TsugikiError as error:
                    # The reply stands without it: its caller may have to wait a second for others.
                    log.warning("a reply cannot tell how new it is: %s", error.detail)
                else:
                    message = {**message, "headers": [*message.get("headers", ()), (HEADER.encode(), token)]}
            await send(message)

        await self._app(scope, receive, telling)


def _number(token: str) -> int:
    if not (token.isascii() and token.isdecimal() and len(token) <= MAX_DIGITS):
        raise Invalid(
            "the X-Version-Token is not one of this service's", code="version_token", fix="send one from a reply"
        )
    return int(token)
