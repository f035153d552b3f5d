"""The API: every route of the contract, and how errors leave it."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from service import edge
from service.direct import Direct
from service.guard import App
from service.head_requests import HeadRequests
from service.idempotency import IdempotentReplies
from service.routes import ROUTERS
from service.tokens import VersionTokens
from tsugiki.errors import TsugikiError

VERSION = "0.1.0"


def create_api() -> FastAPI:
    """The application; `state.core` is set once the service has started."""
    api = FastAPI(
        title="Tsugiki",
        version=VERSION,
        summary="Classifiers grafted onto frozen pretrained backbones",
        docs_url=None,  # the ready page loads its scripts from elsewhere; ours is in routes/operations.py
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,  # a redirect would be kept under an Idempotency-Key, and has no body
    )
    for router in ROUTERS:
        api.include_router(router)
    api.state.routes = [*api.routes, *_declared()]
    api.add_exception_handler(TsugikiError, edge.on_core_error)
    api.add_exception_handler(edge.Refused, edge.on_refused)
    api.add_exception_handler(RequestValidationError, edge.on_validation)
    api.add_exception_handler(HTTPException, edge.on_http)
    api.add_exception_handler(Exception, edge.on_bug)
    api.add_middleware(IdempotentReplies)
    return api


def edge_of(api: FastAPI) -> App:
    """What the guard stands in front of."""
    return HeadRequests(VersionTokens(api, Direct(api, _declared())))


def _declared() -> list[BaseRoute]:
    return [route for router in ROUTERS for route in router.routes]
