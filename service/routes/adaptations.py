"""Adaptations: planned, started, watched, cancelled."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from service import replies, verbs
from service.edge import Adapting, After, Caller, Knowing, Limit, Reply, StrictRoute, documented
from service.events import stream
from service.following import followed
from service.replies import AdaptationReply, EventsReply, ListReply
from service.schemas import AdaptationIn, NothingIn
from service.verbs import ENDED
from tsugiki.domain import Adaptation, Plan, Project
from tsugiki.errors import Invalid
from tsugiki.storage.pages import cut, one_more

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["adaptations"])

MAX_EVENTS = 2**31  # no adaptation has as many; every database can compare numbers below


@router.post(
    "/projects/{p}/adaptations",
    responses={**documented(AdaptationReply, 404, 409, 413, 415, 507), 202: {"model": AdaptationReply}},
)
async def start(by: Adapting, p: str, wish: AdaptationIn = AdaptationIn()) -> Reply:
    """Adapt the project to its labelled samples. 200 if it ended within `wait_seconds`, else 202.

    `hyperparameters` are those of the method asked for; one that it does not have, or out of its range, is refused
    (`hyperparameter_invalid`), also by a `dry_run`. What was used is in the version's `lineage.details` and its card.
    By `auto`, a deeper method that may pay is queued behind as an adaptation of its own, which `follows` this one.
    """
    project, plan = await asyncio.to_thread(_planned, by, p, wish)
    if wish.dry_run:
        return Reply(_dry(project, plan))
    adaptation = await verbs.adapting(by.core, project, wish, plan, by.once)
    told = await asyncio.to_thread(followed, by.core, adaptation)
    return Reply(told, 200 if adaptation.status in ENDED else 202)


@router.get("/projects/{p}/adaptations", responses=documented(ListReply, 404))
def list_adaptations(by: Knowing, p: str, after: After = None, limit: Limit = 100) -> Reply:
    """The project's adaptations, oldest first."""
    return Reply(replies.page(by.core.adaptations.list(by.project(p).id, after, limit), partial(followed, by.core)))


@router.get("/adaptations/{a}", responses=documented(AdaptationReply, 404))
def get(by: Knowing, a: str) -> Reply:
    return Reply(followed(by.core, _found(by, a)))


@router.post("/adaptations/{a}/cancel", responses=documented(AdaptationReply, 404, 409, 413, 415, 507))
def cancel(by: Adapting, a: str, wish: NothingIn = NothingIn()) -> Reply:
    """From now on it publishes nothing. One that has ended stays as it is."""
    cancelled = by.core.adaptations.cancel(by.tenant_id, a)
    by.speak_of(cancelled.project_id)
    return Reply(replies.adaptation(cancelled))


@router.get(
    "/adaptations/{a}/events",
    responses={**documented(EventsReply, 404), 204: {"description": "No more will come"}},
)
def events(
    by: Knowing,
    a: str,
    request: Request,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
    after: Annotated[int, Query(ge=0, lt=MAX_EVENTS, description="the last id of the page before")] = 0,
    limit: Limit = 100,
) -> Any:  # a Reply, or events as text/event-stream
    """What happened so far, as a list; or as text/event-stream (by `Accept`) until the adaptation ends.

    Each event of the stream has an `id`, the `event` type (`phase`, `metric`, `message`) and, as `data`, the object of
    the list. `Last-Event-ID` (which browsers send by themselves) goes on after that id; 204 then tells that there
    is nothing more to come. The stream has no pages: of `after` and `limit` it heeds the first, as a `Last-Event-ID`.
    A comment keeps a silent stream open. 429 beyond a tenant's number of open streams.
    """
    adaptation = _found(by, a)
    seen = last_event_id or "0"
    if not (seen.isascii() and seen.isdigit() and int(seen) < MAX_EVENTS):
        raise Invalid(
            f"Last-Event-ID is {seen!r}, expected a number below {MAX_EVENTS:,}",
            code="last_event_id",
            fix="send the id of the last event that arrived, or leave it out",
        )
    seen = max(int(seen), after)
    found = by.core.adaptations.events(adaptation.id, seen, one_more(limit))
    if "text/event-stream" not in request.headers.get("accept", ""):
        return Reply(replies.page(cut(found, limit, replies.event), dict))
    if last_event_id is not None and adaptation.status in ENDED and not found:
        return Response(status_code=204)  # a browser asks again and again otherwise
    by.core.streams.admit(by.tenant_id)
    # Nothing in between may keep the events until there are many.
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    flow = stream(by.core, by.tenant_id, adaptation.id, seen)
    return StreamingResponse(flow, media_type="text/event-stream", headers=headers)


def _planned(by: Caller, p: str, wish: AdaptationIn) -> tuple[Project, Plan]:
    project = by.project(p)
    if wish.backbone not in (None, "auto", project.backbone):
        raise Invalid(
            f"the project's backbone is {project.backbone!r}, not {wish.backbone!r}",
            code="backbone_fixed",
            fix="PATCH the project to change it",
        )
    by.core.tenants.require_room(by.tenant_id)
    counts = by.core.samples.counts(project.id)
    return project, by.core.fast_lane.plan(project.backbone, verbs.request_of(wish), counts, project.task, project)


def _found(by: Caller, a: str) -> Adaptation:
    return by.core.adaptations.get(by.tenant_id, a)


def _dry(project: Project, plan: Plan) -> dict[str, Any]:
    return {
        "object": "adaptation",
        "id": None,
        "project": project.id,
        "status": "succeeded",
        "phase": "plan",
        "progress": {"fraction": 1.0, "eta_seconds": 0, "queue_position": None},
        "plan": replies.plan(plan),
        "gate": None,
        "version": None,
        "error": None,
        "timings": {},
        "follows": None,
    }
