"""Backbones: what the operator has installed, and which to take."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter

from service import replies
from service.edge import After, Knowing, Limit, Predicting, Reply, StrictRoute, documented
from service.recommending import described, recommended
from service.replies import ListReply
from service.schemas import RecommendIn
from tsugiki.storage.pages import cut

router = APIRouter(prefix="/v1/backbones", route_class=StrictRoute, tags=["backbones"])


@router.get("", responses=documented(ListReply))
def list_backbones(by: Knowing, after: After = None, limit: Limit = 100) -> Reply:
    """Every backbone that is installed, by name, with its identity and whether it is in memory."""
    names = sorted(name for name in by.core.offered if name > (after or ""))
    return Reply(replies.page(cut(names, limit, partial(described, by.core)), dict))


@router.post("/recommend", responses=documented(ListReply, 404, 413, 415))
def recommend(by: Predicting, wish: RecommendIn = RecommendIn()) -> Reply:
    """The backbones of a modality, the best first, each with its reasons.

    With a `project` each is tried on its samples, which may take a minute the first time, and those trained on other
    languages than the samples are in come last; else what they state and the `language` decide.
    """
    project = None if wish.project is None else by.project(wish.project)
    data = recommended(by.core, project.modality if project is not None else wish.modality, wish.language, project)
    return Reply({"object": "list", "data": data, "has_more": False})
