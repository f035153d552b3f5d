"""Idempotency-Key: the same key and body get the same reply, computed once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.edge import PROBLEM, answer_problem
from service.guard import App, Message, Receive, Send
from tsugiki.errors import Invalid, TsugikiError
from tsugiki.storage.idempotency import Once, Replay, shown_once

if TYPE_CHECKING:
    from service.core import Core

log = logging.getLogger("tsugiki.idempotency")

MAX_KEY_LENGTH = 255
READING = ("/predict", "/recommend")


class IdempotentReplies:
    """ASGI middleware. A reply is kept and given again, unless time may heal it (429, 5xx): then the key is free.

    `core` is for an app that is not ours; ours has it in its state.
    """

    def __init__(self, app: App, core: Callable[[], Core] | None = None) -> None:
        self._app = app
        self._core = core

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get("idempotency-key") if scope["type"] == "http" else None
        # The probes are open to all: who calls has no tenant that a reply could be kept for.
        if key is None or scope["method"] != "POST" or "principal" not in scope.get("state", ()) or reads(scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        core: Core = scope["app"].state.core if self._core is None else self._core()
        tenant_id: str = request.state.principal.tenant.id
        try:
            once = Once(tenant_id, _checked(key))
            begun = await core.clerks.run(core.idempotency.begin, tenant_id, key, _fingerprint(request))
        except TsugikiError as error:
            await answer_problem(request, error)(scope, receive, send)
            return
        if isinstance(begun, Replay):
            headers = {"idempotent-replayed": "true"}
            await Response(begun.body, begun.status, headers, begun.content_type)(scope, receive, send)
            return
        request.state.once = once
        kept = _Kept()
        try:
            await self._app(scope, receive, kept)
        finally:
            if kept.status in (0, 429) or kept.status >= 500:
                await core.clerks.run(core.idempotency.abandon, tenant_id, key)
        if kept.status != 429 and kept.status < 500:
            reply = _shown_once(request) if kept.secret else (kept.status, kept.content_type, bytes(kept.body))
            try:
                await core.clerks.run(core.idempotency.finish, tenant_id, key, *reply, scope["state"].get("project_id"))
            except TsugikiError as error:
                # What was asked is done: the caller learns it, even if a repeat will not.
                log.warning("a reply could not be kept: %s", error.reason)
        for message in kept.messages:
            await send(message)


class _Kept:
    """Holds a reply back until it is complete, so that it is stored before the caller may rely on it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.status = 0
        self.content_type = ""
        self.secret = False
        self.body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = Headers(raw=message["headers"])
            self.content_type = headers.get("content-type", "")
            self.secret = headers.get("cache-control") == "no-store"
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
        self.messages.append(message)


def reads(scope: MutableMapping[str, Any]) -> bool:
    """Whether it is a POST that changes nothing: doing it again is as good as telling again."""
    return scope["method"] == "POST" and scope["path"].endswith(READING)


def _checked(key: str) -> str:
    if not 0 < len(key) <= MAX_KEY_LENGTH:
        detail = f"the Idempotency-Key has {len(key)} characters, 1 to {MAX_KEY_LENGTH} are allowed"
        raise Invalid(detail, code="idempotency_key", fix="send a random one, such as a UUID")
    return key


def _shown_once(request: Request) -> tuple[int, str, bytes]:
    answer = answer_problem(request, shown_once())
    return answer.status_code, PROBLEM, bytes(answer.body)


def _fingerprint(request: Request) -> str:
    # With the scopes: a reply is no way for another key of the tenant to see what it may not ask for.
    scopes = " ".join(sorted(request.state.principal.key.scopes))
    where = f"{request.method} {request.url.path}?{request.url.query} {scopes}\0".encode()
    return hashlib.sha256(where + request.state.body).hexdigest()
