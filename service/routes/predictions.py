"""Predictions of one project: JSON, or one raw text."""

from __future__ import annotations

from fastapi import APIRouter, Request

from service.direct import DirectRoute
from service.edge import Reply, documented, parse, read_body, validated
from service.replies import PredictionList
from service.routes.verbs import answer, predicting
from service.schemas import PredictIn, PredictQuery
from tsugiki.errors import Invalid, TooLarge
from tsugiki.runtime.directory import Selector

router = APIRouter(prefix="/v1/projects/{p}", route_class=DirectRoute, tags=["predictions"])

MAX_RAW_BYTES = 1 << 20  # one text; rows by the thousand go as JSON
CONTRACT = {
    "parameters": [
        {"name": "p", "in": "path", "required": True, "schema": {"type": "string"}},
        *(
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in PredictQuery.model_json_schema()["properties"].items()
        ),
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": PredictIn.model_json_schema()},
            "text/plain": {"schema": {"type": "string", "description": "one input"}},
        },
    },
}


@router.post("/predict", responses=documented(PredictionList, 404, 409, 413, 415), openapi_extra=CONTRACT)
async def predict(request: Request) -> Reply:
    """Answer inputs by the live version, or by `?alias=` or `?version=`. A bad row fails alone."""
    by = predicting(request)
    selector = _selector(request) if request.scope["query_string"] else Selector()
    wish = await read_body(request, _text if request.state.content_type == "text/plain" else _json)
    return await answer(by, request.path_params["p"], selector, wish)


def _selector(request: Request) -> Selector:
    query = validated(PredictQuery, dict(request.query_params))
    return Selector(query.alias, query.version)


def _json(body: bytes) -> PredictIn:
    return parse(PredictIn, body)


def _text(body: bytes) -> PredictIn:
    if len(body) > MAX_RAW_BYTES:
        raise TooLarge(f"the text is larger than {MAX_RAW_BYTES:,} bytes", fix="send the part that decides the label")
    try:
        return PredictIn(inputs=[body.decode()])
    except UnicodeDecodeError as error:
        raise Invalid(f"the text is not UTF-8 (byte {error.start})", code="input_invalid", fix="send UTF-8") from None
