"""Backbones: what the operator has installed, and which to take."""

from __future__ import annotations

from fastapi import APIRouter

from service.edge import Predicting, Reply, StrictRoute, documented
from service.recommending import described, recommended
from service.replies import ListReply
from service.schemas import RecommendIn

router = APIRouter(prefix="/v1/backbones", route_class=StrictRoute, tags=["backbones"])


@router.get("", responses=documented(ListReply))
def list_backbones(by: Predicting) -> Reply:
    """Every backbone that is installed, with its identity and whether it is in memory."""
    data = [described(by.core, name) for name in by.core.offered]
    return Reply({"object": "list", "data": data, "has_more": False})


@router.post("/recommend", responses=documented(ListReply, 404, 413, 415))
def recommend(by: Predicting, wish: RecommendIn) -> Reply:
    """The backbones of a modality, the best first, each with its reasons.

    With a `project` each is tried on its samples, which may take a minute the first time, and those trained on other
    languages than the samples are in come last; else what they state and the `language` decide.
    """
    project = None if wish.project is None else by.project(wish.project)
    data = recommended(by.core, project.modality if project is not None else wish.modality, wish.language, project)
    return Reply({"object": "list", "data": data, "has_more": False})
