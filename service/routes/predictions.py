"""Predictions of one project: JSON, or one raw text."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request

from service import verbs
from service.edge import INLINE_BYTES, Predicting, Reply, StrictRoute, documented, parse, while_connected
from service.replies import PredictionList
from service.schemas import PredictIn
from tsugiki.errors import Invalid, TooLarge
from tsugiki.runtime.directory import Selector

router = APIRouter(prefix="/v1/projects/{p}", route_class=StrictRoute, tags=["predictions"])

MAX_RAW_BYTES = 1 << 20  # one text; rows by the thousand go as JSON
BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": PredictIn.model_json_schema()},
        "text/plain": {"schema": {"type": "string", "description": "one input"}},
    },
}


@router.post("/predict", responses=documented(PredictionList, 404, 409, 413, 415), openapi_extra={"requestBody": BODY})
async def predict(
    by: Predicting,
    p: str,
    request: Request,
    version: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    alias: Annotated[str, Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = "live",
) -> Reply:
    """Answer inputs by the live version, or by `?alias=` or `?version=`. A bad row fails alone."""
    small = len(request.state.body) <= INLINE_BYTES
    wish = _wish(request) if small else await asyncio.to_thread(_wish, request)
    selector = Selector(alias, version)
    work = verbs.predict(by.core, by.tenant_id, p, selector, wish.inputs, wish.truncate, wish.top_k)
    return Reply(await verbs.predictions_reply(await while_connected(by.request, work), wish.top_k))


def _wish(request: Request) -> PredictIn:
    body: bytes = request.state.body
    if request.state.content_type != "text/plain":
        return parse(PredictIn, body)
    if len(body) > MAX_RAW_BYTES:
        raise TooLarge(f"the text is larger than {MAX_RAW_BYTES:,} bytes", fix="send the part that decides the label")
    try:
        return PredictIn(inputs=[body.decode()])
    except UnicodeDecodeError as error:
        raise Invalid(f"the text is not UTF-8 (byte {error.start})", code="input_invalid", fix="send UTF-8") from None
