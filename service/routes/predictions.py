"""Predictions of one project: JSON, one raw text or file, or a form of files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, Request
from python_multipart.multipart import parse_options_header

from service.direct import DirectRoute
from service.edge import Reply, documented, parse, read_body, validated
from service.forms import PREDICTION_FORM, prediction_form
from service.multipart import SHOWN_CHARS
from service.replies import PredictionList
from service.routes.verbs import answer, predicting
from service.schemas import PredictIn, PredictQuery
from tsugiki.errors import Invalid, TooLarge, UnsupportedType
from tsugiki.runtime.directory import Selector

router = APIRouter(prefix="/v1/projects/{p}", route_class=DirectRoute, tags=["predictions"])

MAX_RAW_BYTES = 1 << 20  # one text; rows by the thousand go as JSON
CHARSETS = ("utf-8", "utf8", "us-ascii")  # that UTF-8 reads
ONE_FILE = {"type": "string", "format": "binary", "description": "one input, the file as it is"}
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
            "text/plain": {"schema": {"type": "string", "description": "one input, of a text project"}},
            **dict.fromkeys(("image/*", "audio/*", "application/octet-stream"), {"schema": ONE_FILE}),
            "multipart/form-data": {"schema": PREDICTION_FORM},
        },
    },
}


@router.post("/predict", responses=documented(PredictionList, 404, 409, 413, 415), openapi_extra=CONTRACT)
async def predict(request: Request) -> Reply:
    """Answer inputs by the live version, or by `?alias=` or `?version=`. A bad row fails alone.

    Files go as the body itself (`curl --data-binary @a.jpg -H 'Content-Type: image/jpeg'`), several of them as a form
    (`curl -F file=@a.jpg -F file=@b.jpg`) or in JSON as base64.
    """
    by = predicting(request)
    selector = _selector(request) if request.scope["query_string"] else Selector()
    wish = await read_body(request, _reading(request))
    return await answer(by, request.path_params["p"], selector, wish)


def _selector(request: Request) -> Selector:
    query = validated(PredictQuery, dict(request.query_params))
    return Selector(query.alias, query.version)


def _reading(request: Request) -> Callable[[bytes], PredictIn]:
    """How the body is read. The guard lets no other type pass, but where there is no body."""
    match request.state.content_type.partition("/"):
        case ("text", _, "plain"):
            return partial(_text, charset=_charset(request.headers["content-type"]))
        case ("multipart", _, "form-data"):
            return partial(prediction_form, content_type=request.headers["content-type"])
        case ("image" | "audio", _, _) | ("application", _, "octet-stream"):
            return _file
        case _:
            return partial(parse, PredictIn)


def _file(body: bytes) -> PredictIn:
    return PredictIn(inputs=[body])


def _charset(content_type: str) -> str:
    return parse_options_header(content_type)[1].get(b"charset", b"utf-8").decode("latin-1").lower()


def _text(body: bytes, charset: str) -> PredictIn:
    if charset not in CHARSETS:
        raise UnsupportedType(f"the text is in {charset[:SHOWN_CHARS]!r}, expected UTF-8", fix="send UTF-8")
    if len(body) > MAX_RAW_BYTES:
        raise TooLarge(f"the text is larger than {MAX_RAW_BYTES:,} bytes", fix="send the part that decides the label")
    try:
        return PredictIn(inputs=[body.decode()])
    except UnicodeDecodeError as error:
        raise Invalid(f"the text is not UTF-8 (byte {error.start})", code="input_invalid", fix="send UTF-8") from None
