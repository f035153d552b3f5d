"""Adaptations and their events between their tables and the domain."""

from __future__ import annotations

from typing import Literal, cast

from tsugiki.domain import Adaptation, Event, JobStatus, Phase
from tsugiki.storage.tables import AdaptationRow, EventRow

EventType = Literal["phase", "metric", "message"]


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
    )


def read_event(row: EventRow) -> Event:
    return Event(row.seq, row.at, cast(EventType, row.type), row.data)
