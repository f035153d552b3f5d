"""The one gate in front of every route: deny by default, count while reading, answer errors as problems."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import orjson

from service.auth import secret_of
from service.bodies import Bodies
from service.errors import problem, retry_after, status_of
from service.verbs import check_bento_body
from tsugiki.errors import TooLarge, TsugikiError, Unauthenticated, Unavailable, UnsupportedType
from tsugiki.observed import ORIGIN, Origin

if TYPE_CHECKING:
    from service.core import Core
    from tsugiki.storage.tenants import Principal

# ASGI in three lines; Any because a message's values differ by its type.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

log = logging.getLogger("tsugiki.guard")
requests = logging.getLogger("tsugiki.requests")

OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz"})
# BentoML's own routes; everything else is the edge's, other methods on these paths too.
BENTO_ROUTES = frozenset({("POST", "/bento/adapt"), ("POST", "/bento/predict"), ("GET", "/schema.json")})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others are no metric label
BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
JSON_ONLY = ("application/json",)
ALSO_READ = {  # by what a project's path ends in
    "/predict": ("text/plain", "image/*", "audio/*", "application/octet-stream", "multipart/form-data"),
    "/samples": ("application/x-ndjson", "multipart/form-data"),
}
ASKING_S = 1.0  # for the owner of a key that was good lately; then the database is taken to be away for a moment
ASKING_FIRST_S = 10.0  # ditto of any other key
BODY_S = 120.0  # for a body to arrive: 16 MiB at some 1 Mbit/s
REQUEST_ID_LENGTH = 64  # a caller's own X-Request-ID is taken up to here


class Guard:
    """ASGI middleware around BentoML's app; requests that are not BentoML's go straight to `edge`.

    It finds the tenant from the key alone, bounds and buffers the body, and leaves both in `scope["state"]`:
    `principal`, `request_id`; who refuses leaves the code as `refused`. What any route raises and nobody handled
    becomes a problem without internals.
    `foremost`: at the start it takes the place of all that the application built in front of it.
    """

    def __init__(
        self, app: App, edge: App, core: Callable[[], Core], *, foremost: bool = False, body_s: float = BODY_S
    ) -> None:
        self._app = app
        self._edge = edge
        self._core = core
        self._foremost = foremost
        self._body_s = body_s
        self._bodies = Bodies()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            if self._foremost:
                scope["app"].middleware_stack = self
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # No route here speaks websocket; refusing before accepting is what servers turn into 403.
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name: value for name, value in scope["headers"]}
        request_id = _request_id(headers)
        started = time.perf_counter()
        traces = self._core().traces
        ORIGIN.set(Origin(request_id) if traces is None else traces.begin(request_id, headers))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        reply = _Reply(send, state, started)
        try:
            await self._pass(scope, receive, reply, headers)
        except TsugikiError as error:
            await reply.fail(error, scope["path"])
        except Exception:
            log.exception("a request failed")
            if not reply.complete:
                await reply.fail(TsugikiError("the service failed on this request; see its log"), scope["path"])
        finally:
            if held := state.get("held"):
                self._bodies.give_back(state["principal"].tenant.id, held)
            self._tell(scope, state, reply.status, time.perf_counter() - started)

    def _tell(self, scope: MutableMapping[str, Any], state: Mapping[str, Any], status: int, seconds: float) -> None:
        core = self._core()
        route, method = _template(scope), scope["method"] if scope["method"] in METHODS else "other"
        core.metrics.request(route, method, status, seconds)
        if (code := state.get("refused")) is not None:
            core.metrics.refusal(code)
        if core.traces is not None and isinstance(span := ORIGIN.get().span, core.traces.kind):
            core.traces.end(span, route, method, status, state["request_id"])
        if core.settings.log_requests:
            principal = state.get("principal")
            told = {"method": method, "route": route, "status": status, "ms": round(seconds * 1e3, 2)}
            told |= {"tenant": principal.tenant.id} if principal is not None else {}
            requests.info("request", extra={"told": told})

    async def _pass(
        self, scope: MutableMapping[str, Any], receive: Receive, reply: _Reply, headers: dict[bytes, bytes]
    ) -> None:
        path: str = scope["path"]
        state: dict[str, Any] = scope["state"]
        if path not in OPEN_PATHS:
            await self._identify(state, scope["method"], path, headers)
            if scope["method"] in BODY_METHODS and "principal" in state:  # a metrics token has no business with bodies
                receive = await self._body(scope, receive, headers, state)
        if (scope["method"], path) not in BENTO_ROUTES:
            await self._edge(scope, receive, reply)
            return
        if scope["method"] == "POST":
            if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
                raise UnsupportedType("BentoML's verbs read JSON only", fix="send Content-Type: application/json")
            check_bento_body(state["principal"], path, state["body"])
        await self._app(scope, receive, reply)

    async def _identify(self, state: dict[str, Any], method: str, path: str, headers: dict[bytes, bytes]) -> None:
        core = self._core()
        # A browser sends Basic credentials with any site's requests: they open what can only be read.
        basic = method in ("GET", "HEAD") and (path == "/openapi.json" or path.startswith("/docs"))
        secret = secret_of(headers.get(b"authorization", b"").decode("latin-1"), basic=basic)
        token = core.settings.metrics_token
        if path == "/metrics" and token is not None:
            if not secrets.compare_digest(secret.encode(), token.get_secret_value().encode()):
                raise Unauthenticated("this is not the metrics token", fix="send the value of TSUGIKI_METRICS_TOKEN")
            return
        door = core.door
        predicting = method == "POST" and path.endswith("/predict")
        principal = door.remembered(secret, predicting=predicting) or await _asked(core, secret, predicting)
        door.admit(principal)
        state["principal"] = principal

    async def _body(
        self, scope: MutableMapping[str, Any], receive: Receive, headers: dict[bytes, bytes], state: dict[str, Any]
    ) -> Receive:
        limit, tenant_id = self._core().settings.max_body_bytes, state["principal"].tenant.id
        state["held"] = 0

        def hold(size: int) -> None:
            self._bodies.take(tenant_id, size, limit)
            state["held"] += size

        if b"content-encoding" in headers:
            raise UnsupportedType("the body is compressed", fix="send it without Content-Encoding")
        try:
            async with asyncio.timeout(self._body_s):
                body = await _read(receive, limit, headers, hold)
        except TimeoutError:
            detail = f"the body was not complete after {self._body_s:g} s"
            raise Unavailable(detail, fix="send fewer rows a request", code="body_too_slow") from None
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().decode("latin-1").lower()
        types = _types(scope["path"])
        if body and not any(fnmatchcase(kind, known) for known in types):
            raise UnsupportedType(
                f"the content type is {kind or 'missing'!r}, expected {' or '.join(types)}",
                fix="send Content-Type: application/json" + ("" if types == JSON_ONLY else ", or what the body is"),
            )
        state["body"], state["content_type"] = body, kind
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        return replay


class _Reply:
    """Adds the request id to whatever is sent, and turns an error into a problem if nothing was sent yet.

    Where a route left `timings` in the state (seconds by name), the reply tells them, and what the request took.
    """

    def __init__(self, send: Send, state: MutableMapping[str, Any], started: float) -> None:
        self._send = send
        self._state = state
        self._started = started
        self.status = 0
        self.complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self._state["request_id"].encode())]
            if (timings := self._state.get("timings")) is not None:
                headers.append((b"server-timing", _server_timing(time.perf_counter() - self._started, timings)))
            message["headers"] = headers
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def fail(self, error: TsugikiError, path: str) -> None:
        if self.status:
            raise ConnectionAbortedError("the reply had begun; the connection ends here") from error
        self._state["refused"] = error.reason
        body = orjson.dumps(problem(error, instance=path, request_id=self._state["request_id"]))
        headers = {"content-type": "application/problem+json", "content-length": str(len(body)), **retry_after(error)}
        if status_of(error) == 401:
            headers["www-authenticate"] = 'Bearer, Basic realm="the API key as password"'
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": status_of(error), "headers": raw})
        await self({"type": "http.response.body", "body": body})


async def _asked(core: Core, secret: str, predicting: bool) -> Principal:
    """The key's owner, by the database; where that does not answer, for a prediction by what it said lately.

    Raises Unavailable.
    """
    known = predicting and core.door.trusts(secret)
    try:
        async with asyncio.timeout(ASKING_S if known else ASKING_FIRST_S):
            return await core.clerks.run(core.door.identify, secret)
    except (TimeoutError, Unavailable) as error:
        if not predicting or (principal := core.door.away(secret)) is None:
            raise Unavailable("the key cannot be checked now: the database does not answer") from error
    log.warning("the database does not answer: keys are taken that were good lately")
    return principal


async def _read(receive: Receive, limit: int, headers: dict[bytes, bytes], hold: Callable[[int], None]) -> bytes:
    """The whole body, counted as it arrives: the header is believed only where it says too much.

    `hold` hears of each part's size before it is kept, and may raise.
    """
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unavailable("the client left before its body was complete")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        hold(len(chunk))
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _types(path: str) -> tuple[str, ...]:
    """What a path reads, JSON and perhaps more.

    A page elsewhere can make browsers send some of these types here. It cannot make them send a key: where anything is
    changed a key is read from an Authorization of Bearer only, which no browser adds by itself.
    """
    also = ALSO_READ.get(path[path.rfind("/") :], ()) if path.startswith("/v1/projects/") else ()
    return (*JSON_ONLY, *also)


def _template(scope: MutableMapping[str, Any]) -> str:
    """The route's path as declared: a raw path would be an unbounded metric label."""
    if (scope["method"], scope["path"]) in BENTO_ROUTES:
        return scope["path"]
    return getattr(scope.get("route"), "path", "other")


def _server_timing(total_s: float, timings: Mapping[str, float]) -> bytes:
    """The header's value, in milliseconds. W3C Server Timing."""
    return ", ".join(
        f"{name};dur={seconds * 1e3:.2f}" for name, seconds in {"total": total_s, **timings}.items()
    ).encode()


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit:,} bytes", fix="send fewer rows a request")


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    if 0 < len(given) <= REQUEST_ID_LENGTH and given.isascii() and given.replace("-", "").replace("_", "").isalnum():
        return given
    return "req_" + secrets.token_hex(12)
