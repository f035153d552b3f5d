"""Adaptations and their events between their tables and the domain."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tsugiki.domain import Adaptation, Event, JobStatus, Json, Phase
from tsugiki.errors import Conflict
from tsugiki.observed import ORIGIN, Origin
from tsugiki.storage.database import Database
from tsugiki.storage.tables import AdaptationRow, EventRow, ProjectRow

EventType = Literal["phase", "metric", "message"]
FENCED = "fenced"
LOCKED = {"key_share": True}  # a row that is to be changed; those that refer to it are no business of the lock
FIRST_PHASE = "validate"


class FollowUp(NamedTuple):
    """An adaptation that is to go on from another: its request, and what is planned of it by now."""

    request: Json
    plan: Json


def queued(
    database: Database, project: ProjectRow, request: Json, owner: int, plan: Json | None = None
) -> AdaptationRow:
    """A new row that waits for process `owner`; it remembers which request it is for."""
    asked = ORIGIN.get()
    return AdaptationRow(
        id=database.ids.new("adp"),
        tenant_id=project.tenant_id,
        project_id=project.id,
        status="queued",
        phase=FIRST_PHASE,
        request=request,
        fraction=0.0,
        attempts=0,
        plan=plan,
        timings={},
        created_at=database.now(),
        owner=owner,
        asked={"request_id": asked.request_id, "trace": asked.trace},
    )


def fenced(session: Session, adaptation_id: str, attempt: int) -> AdaptationRow:
    """The row, if this attempt at it may still write. Raises Conflict `fenced`."""
    row = session.get(AdaptationRow, adaptation_id, with_for_update=LOCKED)
    if row is None or (row.status, row.attempts) != ("running", attempt):
        raise Conflict(f"Attempt {attempt} of {adaptation_id} may no longer write.", code=FENCED)
    return row


def append(session: Session, database: Database, adaptation_id: str, type: EventType, data: Json) -> EventRow:
    """By whoever has locked the adaptation's row."""
    last = select(func.max(EventRow.seq)).where(EventRow.adaptation_id == adaptation_id)
    seq = (session.scalar(last) or 0) + 1
    row = EventRow(adaptation_id=adaptation_id, seq=seq, at=database.now(), type=type, data=data)
    session.add(row)
    return row


def read_adaptation(row: AdaptationRow) -> Adaptation:
    return Adaptation(
        id=row.id,
        project_id=row.project_id,
        status=cast(JobStatus, row.status),
        phase=cast(Phase, row.phase),
        request=row.request,
        fraction=row.fraction,
        attempts=row.attempts,
        plan=row.plan,
        gate=row.gate,
        version=row.version,
        error=row.error,
        timings=row.timings,
        created_at=row.created_at,
        finished_at=row.finished_at,
        asked=Origin(**row.asked or {}),
    )


def read_event(row: EventRow) -> Event:
    return Event(row.seq, row.at, cast(EventType, row.type), row.data)
