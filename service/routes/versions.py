"""Versions: what was published, and what it was shown to be worth."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from service import replies
from service.card import card
from service.edge import Caller, Limit, Markdown, Predicting, Reply, StrictRoute, documented
from service.replies import ListReply, VersionReply
from service.schemas import VersionNumber
from tsugiki.domain import Project, Version
from tsugiki.storage.pages import Page

router = APIRouter(prefix="/v1/projects/{p}/versions", route_class=StrictRoute, tags=["versions"])

Number = Annotated[VersionNumber, Path()]


@router.get("", responses=documented(ListReply, 404))
def list_versions(
    by: Predicting, p: str, after: Annotated[int, Query(ge=0, lt=2**31)] = 0, limit: Limit = 100
) -> Reply:
    """The project's versions, oldest first; `after` is a version's number."""
    found: Page[Version] = by.core.registry.list(by.project(p).id, after, limit)
    return Reply(replies.page(found, replies.version))


@router.get("/{v}", responses=documented(VersionReply, 404))
def get(by: Predicting, p: str, v: Number) -> Reply:
    return Reply(replies.version(by.core.registry.get(by.project(p).id, v)))


@router.get("/{v}/evaluation", responses=documented(dict[str, Any], 404))
def evaluation(by: Predicting, p: str, v: Number) -> Reply:
    """The held-out evaluation: every figure by fits that had not seen the sample, with 95 % intervals."""
    project, version = _found(by, p, v)
    return Reply({"object": "evaluation", **_report(by, project, version)})


@router.get("/{v}/card", responses={**documented(str, 404), 200: {"content": {"text/markdown": {}}}})
def model_card(by: Predicting, p: str, v: Number) -> Markdown:
    """The version's model card, in Markdown."""
    project, version = _found(by, p, v)
    made_by = by.core.adaptations.get(by.tenant_id, version.lineage["adaptation"])
    return Markdown(card(project, version, by.core.registry.evaluation(version)["report"], made_by))


def _found(by: Caller, p: str, v: int) -> tuple[Project, Version]:
    project = by.project(p)
    return project, by.core.registry.get(project.id, v)


def _report(by: Caller, project: Project, version: Version) -> dict[str, Any]:
    parent = version.lineage.get("parent")
    previous = by.core.registry.get(project.id, parent).metrics if parent is not None else None
    report = by.core.registry.evaluation(version)["report"]
    return {**report, "previous_version": previous and {"version": parent, "metrics": previous}}
