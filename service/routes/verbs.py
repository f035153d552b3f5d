"""The two verbs: POST /adapt, POST /predict."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from service import verbs
from service.direct import DirectRoute
from service.edge import (
    Adapting,
    Caller,
    Reply,
    StrictRoute,
    caller_of,
    documented,
    not_json,
    read_body,
    validated,
    while_connected,
)
from service.replies import PredictionList
from service.schemas import AdaptIn, PredictIn, PredictVerb
from service.strict_json import read_json
from tsugiki.runtime.directory import Selector

router = APIRouter(route_class=StrictRoute, tags=["verbs"])
direct = APIRouter(route_class=DirectRoute, tags=["verbs"])

CONTRACT = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": PredictVerb.model_json_schema()}}}
}


@router.post("/adapt", responses=documented(dict[str, Any], 404, 409, 413, 415, 507))
async def adapt(by: Adapting, wish: AdaptIn) -> Reply:
    """POST labelled samples: the project is made if it is new, and a version is live within the wait."""
    reply = await verbs.adapt(by.core, by.principal, wish, by.once)
    by.speak_of(reply["project"]["id"])
    return Reply(reply)


@direct.post("/predict", responses=documented(PredictionList, 404, 409, 413, 415), openapi_extra=CONTRACT)
async def predict(request: Request) -> Reply:
    """POST inputs: each is answered by the project's live version, or by the alias or version named."""
    by = predicting(request)
    if (kind := request.state.content_type) != "application/json":
        raise not_json(kind)
    wish = await read_body(request, _wish)
    return await answer(by, wish.project, Selector(wish.alias, wish.version), wish)


def predicting(request: Request) -> Caller:
    """Who asks for predictions. From here on the reply tells its timings. Raises Forbidden."""
    request.state.timings = {}
    return caller_of(request, "predict")


async def answer(by: Caller, ref: str, selector: Selector, wish: PredictIn) -> Reply:
    """Raises what `verbs.predict` raises, and Unavailable for a caller who left."""
    work = verbs.predict(by.core, by.tenant_id, ref, selector, wish.inputs, wish.truncate, wish.top_k)
    answered = await while_connected(by.request, work)
    by.request.state.timings |= verbs.timings_of(answered)
    return Reply(await verbs.predictions_reply(by.request, answered, wish.top_k))


def _wish(body: bytes) -> PredictVerb:
    return validated(PredictVerb, read_json(body) if body else None)
