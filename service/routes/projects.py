"""Projects: made, listed, changed, erased."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter

from service import replies, verbs
from service.edge import Adapting, After, Caller, Knowing, Limit, Reply, StrictRoute, documented
from service.replies import ListReply, ProjectReply
from service.schemas import LabelIn, PolicyIn, ProjectIn, ProjectPatch
from tsugiki.data.text import clean_label
from tsugiki.domain import Label, Policy, Project
from tsugiki.errors import Invalid

router = APIRouter(prefix="/v1/projects", route_class=StrictRoute, tags=["projects"])


@router.post("", responses=documented(ProjectReply, 409, 413, 415, 507))
async def create(by: Adapting, wish: ProjectIn) -> Reply:
    """Make a project. `backbone: auto` takes the service's default for the modality; `backbone_open` tells that an
    adaptation may still take another one: where texts are in a language that the default has not read, or once there
    are samples enough to show that another one tells the labels apart better. The plan's `reasons` say why.

    With two labels or more it answers at once, by what they are called (`zero_shot`), unless `policy.adapt` is manual.
    """
    if wish.labels:
        by.core.fast_lane.admit(by.tenant_id)
    project = await asyncio.to_thread(_created, by, wish)
    await verbs.answer_by_names(by.core, project)
    return Reply(replies.project(project))


@router.get("", responses=documented(ListReply))
def list_projects(by: Knowing, after: After = None, limit: Limit = 100) -> Reply:
    """The tenant's projects, oldest first."""
    return Reply(replies.page(by.core.projects.list(by.tenant_id, after, limit), replies.project))


@router.get("/{p}", responses=documented(ProjectReply, 404))
def get(by: Knowing, p: str) -> Reply:
    """One project, by id or name."""
    return Reply(replies.project(by.project(p)))


@router.patch("/{p}", responses=documented(ProjectReply, 404, 409, 413, 415, 507))
async def change(by: Adapting, p: str, wish: ProjectPatch) -> Reply:
    """Change name, labels, policy or backbone; what is left out stays. New labels renew what answers by names alone.

    Versions keep the backbone they were made on; the next one is made on the new one. 409 `adaptation_running`.
    """
    if wish.labels:
        by.core.fast_lane.admit(by.tenant_id)
    project = await asyncio.to_thread(_changed, by, p, wish)
    if wish.labels:
        await verbs.answer_by_names(by.core, project)
    return Reply(replies.project(project))


@router.delete("/{p}", status_code=202, responses=documented(ProjectReply, 404, 507, status=202))
def erase(by: Adapting, p: str) -> Reply:
    """Erase samples, features, versions and files. The reply is the last that is told of it."""
    project = by.project(p)
    try:
        if not by.core.projects.delete(project):
            by.core.upkeep.wake()
    finally:
        # Also when only its bytes could not be cleared yet: nothing of it may be answered any more.
        by.core.directory.forget(project.id)
        by.core.residency.forget(project.id)
    return Reply(replies.project(project), 202)


def _created(by: Caller, wish: ProjectIn) -> Project:
    backbone = by.core.backbone_for(wish.modality, wish.backbone)
    policy = _policy(wish.policy)
    project = by.core.projects.create(
        by.tenant_id,
        wish.name,
        wish.modality,
        wish.task,
        backbone,
        _labels(wish.labels or []),
        policy,
        backbone_open=wish.backbone == "auto",
        once=by.once,
    )
    by.speak_of(project.id)
    return project


def _changed(by: Caller, p: str, wish: ProjectPatch) -> Project:
    project = by.project(p)
    if wish.labels:
        by.core.tenants.require_room(by.tenant_id)  # for the version that answers by their names
    project = by.core.projects.update(
        project.id,
        name=wish.name,
        labels=None if wish.labels is None else _labels(wish.labels),
        policy=None if wish.policy is None else partial(_policy, wish.policy),
        backbone=None if wish.backbone is None else by.core.backbone_for(project.modality, wish.backbone),
        backbone_open=wish.backbone == "auto",
    )
    by.core.directory.forget(project.id)
    return project


def _labels(given: list[LabelIn]) -> list[Label]:
    labels = [Label(clean_label(label.name, f"/labels/{n}/name"), label.description) for n, label in enumerate(given)]
    if len({label.name for label in labels}) < len(labels):
        raise Invalid("a label is declared twice", code="label_duplicate", fix="declare each label once")
    return labels


def _policy(given: PolicyIn, present: Policy | None = None) -> Policy:
    """The present policy with what was given; what was left out stays."""
    changes: dict[str, Any] = {
        name: getattr(given, name) for name in given.model_fields_set - {"abstain", "quarantine"}
    }
    if "abstain" in given.model_fields_set:
        changes["abstain_precision"] = None if given.abstain is None else given.abstain.target_precision
    if "quarantine" in given.model_fields_set:
        changes["quarantine"] = tuple(given.quarantine)
    return replace(present or Policy(), **changes)
