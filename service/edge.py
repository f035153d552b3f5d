"""What the routes share: who calls, strict JSON, replies, and how errors are documented and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Depends, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import BaseRoute, Match

from service.auth import require
from service.core import Core
from service.errors import TITLES, problem, retry_after, status_of
from service.replies import ProblemReply
from service.strict_json import pointer, read_json
from tsugiki.domain import Project, Scope
from tsugiki.errors import Invalid, Issue, NotFound, TsugikiError, Unavailable, UnsupportedType
from tsugiki.storage.idempotency import Once
from tsugiki.storage.tenants import Principal

PROBLEM = "application/problem+json"
ALWAYS = (401, 403, 422, 429, 500, 503)  # what any route may answer
WATCH_AFTER_S = 0.05  # most answers are out before: only a caller who waits is looked after
INLINE_BYTES = 1 << 16  # read and checked in some 3 ms; a larger body would keep the event loop from everybody else
MAX_PLACES = 50  # errors listed of one body; a thousand equal ones help nobody

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what with. Everything a route reads is filtered by `tenant_id`, which the key alone decides."""

    core: Core
    principal: Principal
    request: Request

    @property
    def tenant_id(self) -> str:
        return self.principal.tenant.id

    @property
    def once(self) -> Once | None:
        """What makes a repeat of this request known, if it brought an Idempotency-Key."""
        return getattr(self.request.state, "once", None)

    def project(self, ref: str) -> Project:
        """The tenant's project by id or name; a reply kept for its Idempotency-Key goes with it. Raises NotFound."""
        project = self.core.projects.get(self.tenant_id, ref)
        self.speak_of(project.id)
        return project

    def speak_of(self, project_id: str) -> None:
        """Say whose words the reply holds, so that a kept one is erased with that project."""
        self.request.state.project_id = project_id


def caller(scope: Scope | None) -> Any:  # Any: FastAPI's Depends is typed so
    """A dependency: the caller, if its key has the scope; None lets every key of the tenant."""

    # Async, though it waits for nothing: FastAPI hands what is not to a thread, and waits there.
    async def dependency(request: Request) -> Caller:
        return caller_of(request, scope)

    return Depends(dependency)


def caller_of(request: Request, scope: Scope | None) -> Caller:
    """Raises Forbidden where the key has not the scope."""
    principal: Principal = request.state.principal
    if scope is not None:
        require(principal, scope)
    return Caller(request.app.state.core, principal, request)


Knowing = Annotated[Caller, caller(None)]  # of what each key works with, and started by itself
Predicting = Annotated[Caller, caller("predict")]
Annotating = Annotated[Caller, caller("annotate")]
Adapting = Annotated[Caller, caller("adapt")]
Administering = Annotated[Caller, caller("admin")]

After = Annotated[
    str | None, Query(max_length=64, description="the last id (of what has none, the last name) of the page before")
]
Limit = Annotated[int, Query(ge=1, le=100)]


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns; it is cancelled once the caller has gone. The body must have been read."""
    loop = asyncio.get_running_loop()
    presence = asyncio.timeout(None)
    watching: list[asyncio.Task[None]] = []

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass  # the end of a body that the route has read elsewhere
        presence.reschedule(loop.time())

    soon = loop.call_later(WATCH_AFTER_S, lambda: watching.append(loop.create_task(watch())))
    try:
        async with presence:
            return await work
    except TimeoutError:
        if not presence.expired():
            raise
        raise Unavailable("the caller left before the answer", fix="wait for it, or send fewer inputs") from None
    finally:
        soon.cancel()
        for task in watching:
            task.cancel()


class Reply(Response):
    """A JSON reply serialised once, without a schema in between: the reply types are checked before running."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:  # Any: any JSON
        return orjson.dumps(content)


class Markdown(Response):
    media_type = "text/markdown"


class StrictRoute(APIRoute):
    """A route whose JSON body holds no duplicate keys, no NaN, no truncation: problems that name the place.

    One that blocks does so in its tenant's share of the threads.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        async def sharing(request: Request) -> Response:
            core: Core = request.app.state.core
            async with core.shares.of(request.state.principal.tenant.id):
                return await handler(request)

        return handler if iscoroutinefunction(self.endpoint) else sharing


class _StrictRequest(Request):
    async def json(self) -> Any:  # Any: any JSON
        try:
            return await read_body(self, read_json)
        except Invalid as error:
            raise Refused(error) from None


class Refused(HTTPException):
    """Carries a core error through FastAPI's body reading, which lets nothing else pass."""

    def __init__(self, error: TsugikiError) -> None:
        super().__init__(status_of(error))
        self.error = error


async def read_body(request: Request, read: Callable[[bytes], T]) -> T:
    """What `read` makes of the body, in a thread where it is long."""
    body: bytes = request.state.body
    return read(body) if len(body) <= INLINE_BYTES else await asyncio.to_thread(read, body)


def parse(model: type[M], body: bytes) -> M:
    """The body of a route that reads it itself. Raises Invalid."""
    return validated(model, read_json(body))


def validated(model: type[M], given: object) -> M:
    """Raises Invalid naming every place that does not fit."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False), 0) from None


def not_json(kind: str) -> UnsupportedType:
    """What is told of nothing sent as `kind`; the guard has refused whatever else is not JSON."""
    given = f"the content type is {kind!r}" if kind else "there is no content type"
    return UnsupportedType(f"{given}, expected application/json", fix="send Content-Type: application/json")


def invalid(errors: Sequence[Any], skip: int) -> Invalid:
    """Pydantic's findings as ours; `skip` leading parts of a location are not the body's ("body", "query")."""
    issues = [
        Issue(str(found["type"]), pointer(found["loc"][skip:]), str(found["msg"])) for found in errors[:MAX_PLACES]
    ]
    first = issues[0]
    detail = f"{first.pointer or 'the body'}: {first.detail}" + (f" (and {len(errors) - 1} more)" if errors[1:] else "")
    return Invalid(detail, fix="compare the request with /docs", issues=issues)


def documented(reply: Any, *statuses: int, status: int = 200) -> dict[int | str, dict[str, Any]]:  # Any: FastAPI's
    """The `responses=` of a route: its reply type, and every error it may answer as a problem."""
    problems: dict[int | str, dict[str, Any]] = {
        code: {
            "model": ProblemReply,
            "description": TITLES[code],
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemReply"}}},
        }
        for code in sorted({*ALWAYS, *statuses})
    }
    return {status: {"model": reply}, **problems}


def answer_problem(request: Request, error: TsugikiError, extra: Mapping[str, Any] | None = None) -> Response:
    """`extra` members beside the standard ones, as RFC 9457 allows."""
    request.state.refused = error.reason
    document = problem(error, instance=request.url.path, request_id=request.state.request_id) | dict(extra or {})
    return Response(orjson.dumps(document), status_of(error), retry_after(error), PROBLEM)


async def on_core_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TsugikiError), "registered for core errors only; this is a bug"
    return answer_problem(request, error)


async def on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused), "registered for Refused only; this is a bug"
    return answer_problem(request, error.error)


async def on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for validation only; this is a bug"
    found = error.errors()
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json" and any(item["loc"] == ("body",) for item in found):
        return answer_problem(request, not_json(kind))
    return answer_problem(request, invalid(list(found), 1))


async def on_bug(request: Request, error: Exception) -> Response:
    """What nobody expected: the guard logs it, the caller learns no internals."""
    return answer_problem(request, TsugikiError("the service failed on this request; its log has the reason"))


async def on_http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: unknown paths and methods."""
    assert isinstance(error, StarletteHTTPException), "registered for HTTP errors only; this is a bug"
    if error.status_code == 404:
        return answer_problem(request, NotFound("there is nothing at this path", fix="see /docs"))
    code = "method_not_allowed" if error.status_code == 405 else "http"
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))  # the framework names those of one route of the path
    refused = TsugikiError(f"{request.method} {error.detail}", code=code, fix="see /docs for what this path answers")
    request.state.refused = code
    document = problem(refused, instance=request.url.path, request_id=request.state.request_id)
    document |= {"status": error.status_code, "title": TITLES.get(error.status_code, "Error")}
    return Response(orjson.dumps(document), error.status_code, headers, PROBLEM)


def _methods(request: Request) -> list[str]:
    """What the request's path answers."""
    routes: list[BaseRoute] = request.app.state.routes
    at = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    found: set[str] = {method for route in at for method in getattr(route, "methods", None) or ()}
    return sorted(found | ({"HEAD"} if "GET" in found else set[str]()))
