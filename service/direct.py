"""The routes that most requests are for, found and answered without the framework in between."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, MutableMapping
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from service.guard import Receive, Send

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class DirectRoute(APIRoute):
    """Documented and routed like any other. Its endpoint takes the request alone, and tells errors as TsugikiError."""


class Direct:
    """ASGI: POSTs to the direct routes of `api` go to their endpoints, everything else goes to `api`.

    Errors are raised: the guard in front makes the same problems of them as `api` would.
    """

    def __init__(self, api: FastAPI, routes: Iterable[BaseRoute]) -> None:
        self._api = api
        self._routes = [_Entry(route, route.endpoint) for route in routes if isinstance(route, DirectRoute)]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            for route, answer in self._routes:
                if (match := route.path_regex.match(scope["path"])) is not None:
                    scope.update(app=self._api, route=route, path_params=match.groupdict())
                    response = await answer(Request(scope, receive))
                    await response(scope, receive, send)
                    return
        await self._api(scope, receive, send)


class _Entry(NamedTuple):
    route: APIRoute
    answer: Answer
