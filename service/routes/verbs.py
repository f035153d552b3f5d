"""The two verbs: POST /adapt, POST /predict."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service import verbs
from service.edge import Adapting, Predicting, Reply, StrictRoute, documented, while_connected
from service.replies import PredictionList
from service.schemas import AdaptIn, PredictVerb
from tsugiki.runtime.directory import Selector

router = APIRouter(route_class=StrictRoute, tags=["verbs"])


@router.post("/adapt", responses=documented(dict[str, Any], 409, 413, 415, 507))
async def adapt(by: Adapting, wish: AdaptIn) -> Reply:
    """POST labelled samples: the project is made if it is new, and a version is live within the wait."""
    reply = await verbs.adapt(by.core, by.principal, wish, by.once)
    by.speak_of(reply["project"]["id"])
    return Reply(reply)


@router.post("/predict", responses=documented(PredictionList, 404, 409, 413, 415))
async def predict(by: Predicting, wish: PredictVerb) -> Reply:
    """POST inputs: each is answered by the project's live version, or by the alias or version named."""
    selector = Selector(wish.alias, wish.version)
    work = verbs.predict(by.core, by.tenant_id, wish.project, selector, wish.inputs, wish.truncate, wish.top_k)
    return Reply(await verbs.predictions_reply(await while_connected(by.request, work), wish.top_k))
