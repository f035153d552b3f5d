"""Adaptations, their plans and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from service.errors import job_problem
from tsugiki.storage.registry import FOLLOWS

from .lists import Object, moment

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Event, Plan


class ProgressReply(TypedDict):
    fraction: Annotated[float, Field(description="0..1 of the whole")]
    eta_seconds: Annotated[
        float | None,
        Field(description="while it trains: the plan's estimate less the time since, never below 0; else null"),
    ]
    queue_position: Annotated[int | None, Field(description="while queued: how many of the tenant's are before it")]


class EventReply(TypedDict):
    object: Literal["event"]
    id: Annotated[int, Field(description="counts from 1 within the adaptation")]
    at: str
    type: Literal["phase", "metric", "message"]
    data: Annotated[
        Object,
        Field(description="phase: phase, fraction (and attempt, with its first); metric: name, value; message: text"),
    ]


class EventsReply(TypedDict):
    object: Literal["list"]
    data: list[EventReply]
    has_more: bool


class AdaptationReply(TypedDict):
    object: Literal["adaptation"]
    id: str
    project: str
    status: str
    phase: str
    progress: ProgressReply
    plan: Object | None
    gate: Object | None
    version: int | None
    error: Object | None
    timings: Object
    follows: Annotated[
        str | None,
        Field(description="the adaptation by `auto` whose plan named this one's method as next"),
    ]
    created_at: str
    finished_at: str | None


def adaptation(
    item: Adaptation, queue_position: int | None = None, eta_seconds: float | None = None
) -> AdaptationReply:
    return {
        "object": "adaptation",
        "id": item.id,
        "project": item.project_id,
        "status": item.status,
        "phase": item.phase,
        "progress": {"fraction": item.fraction, "eta_seconds": eta_seconds, "queue_position": queue_position},
        "plan": None if item.plan is None else _told(item.plan),
        "gate": item.gate,
        "version": item.version,
        "error": None if item.error is None else _problem(item, item.error),
        "timings": item.timings,
        "follows": item.request.get(FOLLOWS),
        "created_at": moment(item.created_at),
        "finished_at": moment(item.finished_at),
    }


def _problem(item: Adaptation, ended: Mapping[str, str]) -> Object:
    return job_problem(ended, instance=f"/v1/adaptations/{item.id}", request_id=item.asked.request_id)


def plan(item: Plan) -> Object:
    return _told(asdict(item))


def _told(plan: Object) -> Object:
    """As it is stored, but what nothing tells of a candidate is left out."""
    given = ({name: value for name, value in one.items() if value is not None} for one in plan["candidates"])
    return plan | {"candidates": list(given)}


def event(item: Event) -> EventReply:
    return {"object": "event", "id": item.seq, "at": moment(item.at), "type": item.type, "data": item.data}
