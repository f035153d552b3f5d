"""What operators and readers ask: probes, metrics, docs.

Probes are answered in the event loop: whoever fills the threads that other routes block in has no process restarted.
"""

from __future__ import annotations

from pathlib import Path

import bentoml
from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from service.auth import require_operator
from service.errors import TITLES
from tsugiki.errors import NotFound, Unavailable

router = APIRouter(tags=["operations"])

# The interface's page and script come with BentoML: nothing is loaded from elsewhere.
ASSETS = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
ASSET_NAMES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-light-32x32.png")


@router.get("/livez", responses={503: {"description": TITLES[503]}})
@router.get("/healthz", responses={503: {"description": TITLES[503]}})
async def livez(request: Request) -> PlainTextResponse:
    """The process answers and its engines run. No store is asked: one that is away is no reason to be restarted."""
    if not request.app.state.core.backbones.alive:
        raise Unavailable("an engine's worker has ended", code="engine_dead", fix="restart the service")
    return PlainTextResponse("alive\n")


@router.get("/readyz", responses={503: {"description": TITLES[503]}})
async def readyz(request: Request) -> PlainTextResponse:
    """`ready` when a prediction would be answered now."""
    reason = request.app.state.core.why_not_ready()
    if reason is not None:
        raise Unavailable(f"not ready: {reason}", code="not_ready")
    return PlainTextResponse("ready\n")


@router.get("/metrics", responses={status: {"description": TITLES[status]} for status in (401, 403, 429, 503)})
def metrics(request: Request) -> Response:
    """Prometheus text; with the scrape token, or without one configured, with an admin key of the operator."""
    core = request.app.state.core
    if core.settings.metrics_token is None:
        require_operator(request.state.principal)
    return Response(core.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/", include_in_schema=False)
def index() -> PlainTextResponse:
    return PlainTextResponse("Tsugiki. Docs: /docs, contract: /openapi.json\n")


@router.get("/docs", include_in_schema=False)
def docs() -> HTMLResponse:
    """The API, readable and tryable."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Tsugiki",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon-light-32x32.png",
    )


@router.get("/docs/{name}", include_in_schema=False)
def asset(name: str) -> FileResponse:
    if name not in ASSET_NAMES:
        raise NotFound("there is nothing at this path")
    return FileResponse(ASSETS / name)
