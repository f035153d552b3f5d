"""Backbones: what the operator has installed, and which to take."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.edge import Caller, Predicting, Reply, StrictRoute, documented
from service.replies import ListReply
from service.schemas import RecommendIn
from tsugiki.backbones.catalog import find

router = APIRouter(prefix="/v1/backbones", route_class=StrictRoute, tags=["backbones"])


@router.get("", responses=documented(ListReply))
def list_backbones(by: Predicting) -> Reply:
    """Every backbone, with its identity and whether it is in memory."""
    data = [_described(by, name) for name in by.core.backbones.names]
    return Reply({"object": "list", "data": data, "has_more": False})


@router.post("/recommend", responses=documented(ListReply, 404, 413, 415))
def recommend(by: Predicting, wish: RecommendIn) -> Reply:
    """The backbones of a modality, those that know the language first, each with its reasons."""
    if wish.project is not None:
        by.project(wish.project)
    rows: list[dict[str, Any]] = []
    for name in by.core.backbones.names:
        found = _described(by, name)
        if found["modality"] == wish.modality:
            knows = wish.language is None or wish.language in found["languages"]
            reason = "its language is stated" if knows and wish.language else "no language was asked for"
            rows.append(
                {**found, "reasons": [reason if knows else f"it does not state {wish.language!r}"], "fits": knows}
            )
    rows.sort(key=lambda row: (not row["fits"], row["name"] != by.core.settings.text_backbone))
    return Reply({"object": "list", "data": rows, "has_more": False})


def _described(by: Caller, name: str) -> dict[str, Any]:
    source = find(name, by.core.settings.backbones)
    served = by.core.backbones.ready(name)
    space = served.backbone.space if served is not None else None
    return {
        "object": "backbone",
        "name": name,
        "modality": source.modality,
        "languages": list(source.languages),
        "dim": source.dim,
        "feature_dim": source.feature_dim,
        "licence": source.licence,
        "max_tokens": source.max_tokens,
        "sha256": space.backbone_sha256 if space is not None else source.expected_sha256,
        "feature_space": space.id if space is not None else None,
        "loaded": served is not None,
    }
