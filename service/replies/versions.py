"""Versions, and the aliases that point at them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from .lists import Object, moment

if TYPE_CHECKING:
    from tsugiki.domain import Alias, AliasMove, Version


class VersionReply(TypedDict):
    object: Literal["version"]
    version: int
    digest: str
    method: str
    backbone: str
    feature_space: str
    labels: list[str]
    snapshot: str
    created_at: str
    metrics: Object
    lineage: Object


class AliasReply(TypedDict):
    object: Literal["alias"]
    name: str
    version: int
    moved_at: str


def version(item: Version) -> VersionReply:
    return {
        "object": "version",
        "version": item.number,
        "digest": item.digest,
        "method": item.method,
        "backbone": item.backbone,
        "feature_space": item.feature_space,
        "labels": list(item.labels),
        "snapshot": item.snapshot,
        "created_at": moment(item.created_at),
        "metrics": item.metrics,
        "lineage": item.lineage,
    }


def alias(item: Alias) -> AliasReply:
    return {"object": "alias", "name": item.name, "version": item.version, "moved_at": moment(item.moved_at)}


def alias_move(item: AliasMove) -> Object:
    return {"object": "alias.move", **asdict(item), "at": moment(item.at)}
