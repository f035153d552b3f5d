"""Adaptations as rows: one state machine, fenced by attempt, in which no end is ever left again (I4)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tsugiki.domain import UNFINISHED, Adaptation, Event, Json, Phase
from tsugiki.errors import Conflict, NotFound
from tsugiki.storage.adaptation_rows import (
    FENCED,
    FIRST_PHASE,
    LOCKED,
    EventType,
    append,
    fenced,
    queued,
    read_adaptation,
    read_event,
)
from tsugiki.storage.database import Database
from tsugiki.storage.idempotency import Once, already, note_done
from tsugiki.storage.pages import Page, cut, one_more
from tsugiki.storage.presence import ALONE, TRAINER
from tsugiki.storage.tables import AdaptationRow, EventRow, ProjectRow

TRAINING: tuple[Phase, ...] = ("plan", "train")  # a plan is told last thing before training, in its process or before


class Waiting(NamedTuple):
    """As much of an unfinished adaptation as is needed to run it: there may be thousands."""

    id: str
    project_id: str
    tenant_id: str
    running: bool
    begun: bool  # now or before


class Adaptations:
    """`Registry.publish` is the other writer: it alone makes an adaptation `succeeded`.

    What is created here is for process `owner` to run, the one that this is, unless it is for the trainer.
    """

    def __init__(self, database: Database, owner: int = ALONE) -> None:
        self._database = database
        self._owner = owner

    def create(
        self,
        project_id: str,
        request: Json,
        once: Once | None = None,
        *,
        for_trainer: bool = False,
        plan: Json | None = None,
    ) -> Adaptation:
        """A queued one, or the one that a former attempt of the same request made.

        `plan` is what is planned by now; the job makes its own of the samples it finds. Raises NotFound.
        """
        with self._database.write(of=project_id) as session:
            project = session.get(ProjectRow, project_id)
            if project is None:
                raise NotFound(f"There is no project {project_id!r}.")
            if (made := already(session, once)) is not None and (row := session.get(AdaptationRow, made)) is not None:
                return read_adaptation(row)
            row = queued(self._database, project, request, TRAINER if for_trainer else self._owner, plan)
            session.add(row)
            note_done(session, once, row.id, project_id)
            if for_trainer:
                self._database.tell(session)
        return read_adaptation(row)

    def get(self, tenant_id: str, adaptation_id: str) -> Adaptation:
        with self._database.read() as session:
            return read_adaptation(_owned(session, tenant_id, adaptation_id))

    def list(self, project_id: str, after: str | None = None, limit: int = 100) -> Page[Adaptation]:
        """Oldest first."""
        query = select(AdaptationRow).where(AdaptationRow.project_id == project_id, AdaptationRow.id > (after or ""))
        with self._database.read() as session:
            rows = session.scalars(query.order_by(AdaptationRow.id).limit(one_more(limit))).all()
            return cut(rows, limit, read_adaptation)

    def last_plan(self, project_id: str) -> Json | None:
        """Of the last adaptation by which a version was made; None before."""
        ended = select(AdaptationRow.plan).where(
            AdaptationRow.project_id == project_id, AdaptationRow.status == "succeeded"
        )
        with self._database.read() as session:
            return session.scalar(ended.order_by(AdaptationRow.id.desc()).limit(1))

    def plan(self, adaptation_id: str) -> Json | None:
        """None before there is one, or once the adaptation is gone."""
        with self._database.read() as session:
            return session.scalar(select(AdaptationRow.plan).where(AdaptationRow.id == adaptation_id))

    def ahead(self, adaptation: Adaptation) -> int:
        """How many jobs of the same tenant are before it, the running one included."""
        mine = select(AdaptationRow.tenant_id).where(AdaptationRow.id == adaptation.id).scalar_subquery()
        query = select(func.count()).where(
            AdaptationRow.tenant_id == mine, AdaptationRow.status.in_(UNFINISHED), AdaptationRow.id < adaptation.id
        )
        with self._database.read() as session:
            return session.execute(query).scalar_one()

    def owners(self) -> frozenset[int]:
        """Whose the unfinished ones are, but for the trainer's."""
        with self._database.read() as session:
            query = select(AdaptationRow.owner).where(AdaptationRow.status.in_(UNFINISHED)).distinct()
            return frozenset(session.scalars(query)) - {TRAINER}

    def unfinished(self, among: Collection[str] | None = None) -> list[Waiting]:
        """Those that are this process's to run, oldest first; or those of some ids, some thousand at most."""
        running = AdaptationRow.status == "running"
        columns = select(
            AdaptationRow.id, AdaptationRow.project_id, AdaptationRow.tenant_id, running, AdaptationRow.attempts > 0
        )
        mine = columns.where(AdaptationRow.status.in_(UNFINISHED), AdaptationRow.owner == self._owner)
        if among is not None:
            mine = mine.where(AdaptationRow.id.in_(among))
        with self._database.read() as session:
            return [Waiting(*row) for row in session.execute(mine.order_by(AdaptationRow.id))]

    def waiting_for_trainer(self, tenant_id: str | None = None) -> int:
        """How many are queued for it, of one tenant or of all."""
        query = select(func.count()).where(AdaptationRow.status == "queued", AdaptationRow.owner == TRAINER)
        if tenant_id is not None:
            query = query.where(AdaptationRow.tenant_id == tenant_id)
        with self._database.read() as session:
            return session.execute(query).scalar_one()

    def take_over(self, gone: Collection[int]) -> list[Adaptation]:
        """All unfinished ones of the owners that are gone are this process's from now on. Oldest first."""
        mine = select(AdaptationRow).where(AdaptationRow.status.in_(UNFINISHED), AdaptationRow.owner.in_(gone))
        with self._database.write() as session:
            rows = session.scalars(mine.order_by(AdaptationRow.id)).all()
            for row in rows:
                row.owner = self._owner
            return [read_adaptation(row) for row in rows]

    def start(self, adaptation_id: str) -> int:
        """Take the job; the attempt returned is the token that fences off every earlier one.

        Raises Conflict `fenced` if it has ended already or is another process's, NotFound if its project was erased.
        """
        with self._database.write(of=adaptation_id) as session:
            row = session.get(AdaptationRow, adaptation_id, with_for_update=LOCKED)
            if row is None:
                raise NotFound(f"There is no adaptation {adaptation_id!r}.")
            if row.status not in UNFINISHED:
                raise Conflict(f"{adaptation_id} is {row.status} already.", code=FENCED)
            if row.owner != self._owner:
                raise Conflict(f"{adaptation_id} is another process's to run.", code=FENCED)
            row.status, row.attempts, row.phase, row.fraction = "running", row.attempts + 1, FIRST_PHASE, 0.0
            entered = {"phase": FIRST_PHASE, "fraction": 0.0, "attempt": row.attempts}
            append(session, self._database, adaptation_id, "phase", entered)
            return row.attempts

    def report(self, adaptation_id: str, attempt: int, phase: Phase, fraction: float, plan: Json | None = None) -> None:
        """How far the job is, 0..1 of the whole; a phase entered is an event. Raises Conflict `fenced`."""
        with self._database.write(of=adaptation_id) as session:
            row = fenced(session, adaptation_id, attempt)
            if phase != row.phase:
                append(session, self._database, adaptation_id, "phase", {"phase": phase, "fraction": fraction})
            row.phase, row.fraction = phase, fraction
            if plan is not None:
                row.plan = plan

    def put_back(self, adaptation_id: str, attempt: int, why: str, *, counted: bool, for_trainer: bool = False) -> None:
        """Queue it again, with a message event. Not counted, the attempt's number is given to the next one.

        It stays its owner's, unless it is for the trainer from now on.
        Nothing of the attempt may write afterwards. Raises Conflict `fenced`.
        """
        with self._database.write(of=adaptation_id) as session:
            row = fenced(session, adaptation_id, attempt)
            row.status, row.phase, row.fraction = "queued", FIRST_PHASE, 0.0
            row.attempts = attempt if counted else attempt - 1
            row.owner = TRAINER if for_trainer else row.owner
            append(session, self._database, adaptation_id, "message", {"text": why})
            if row.owner == TRAINER:
                self._database.tell(session)

    def fail(self, adaptation_id: str, attempt: int, error: Json, timings: Json) -> None:
        """Raises Conflict `fenced`."""
        with self._database.write(of=adaptation_id) as session:
            row = fenced(session, adaptation_id, attempt)
            row.status, row.error, row.timings, row.finished_at = "failed", error, timings, self._database.now()
            row.staged = None

    def set_timings(self, adaptation_id: str, timings: Json) -> None:
        """What could not be known within the publishing transaction: how long that took itself."""
        with self._database.write(of=adaptation_id) as session:
            row = session.get(AdaptationRow, adaptation_id)
            if row is not None:
                row.timings = timings

    def cancel(self, tenant_id: str, adaptation_id: str) -> Adaptation:
        """From now on nothing of it is published; the worker learns by `is_cancelled`. An ended one stays as it is."""
        with self._database.write(of=adaptation_id) as session:
            row = _owned(session, tenant_id, adaptation_id, lock=True)
            if row.status in UNFINISHED:
                row.status, row.finished_at, row.staged = "cancelled", self._database.now(), None
            return read_adaptation(row)

    def is_cancelled(self, adaptation_id: str) -> bool:
        """True also when the adaptation is gone: its project was erased, and the work is for nobody."""
        with self._database.read() as session:
            status = session.scalar(select(AdaptationRow.status).where(AdaptationRow.id == adaptation_id))
        return status is None or status == "cancelled"

    def add_event(self, adaptation_id: str, type: EventType, data: Json) -> Event:
        """Raises NotFound when the adaptation is gone."""
        with self._database.write(of=adaptation_id) as session:
            if session.get(AdaptationRow, adaptation_id, with_for_update=LOCKED) is None:
                raise NotFound(f"There is no adaptation {adaptation_id!r}.")
            row = append(session, self._database, adaptation_id, type, data)
        return read_event(row)

    def tell_running(self, owner: int, data: Json) -> None:
        """A message event for each that process `owner` runs."""
        mine = select(AdaptationRow.id).where(AdaptationRow.status == "running", AdaptationRow.owner == owner)
        with self._database.write() as session:
            for adaptation_id in session.scalars(mine).all():
                append(session, self._database, adaptation_id, "message", data)

    def last_message(self, adaptation_id: str) -> Json:
        """Empty where there was none."""
        told = select(EventRow.data).where(EventRow.adaptation_id == adaptation_id, EventRow.type == "message")
        with self._database.read() as session:
            return session.scalar(told.order_by(EventRow.seq.desc()).limit(1)) or {}

    def training_began(self, adaptation_id: str) -> datetime | None:
        """When its present attempt began what its plan estimates; None before that."""
        for event in reversed(self.events(adaptation_id)):
            if event.type == "phase" and event.data["phase"] in TRAINING:
                return event.at
            if "attempt" in event.data:
                break
        return None

    def events(self, adaptation_id: str, after_seq: int = 0, at_most: int | None = None) -> list[Event]:
        query = select(EventRow).where(EventRow.adaptation_id == adaptation_id, EventRow.seq > after_seq)
        with self._database.read() as session:
            return [read_event(row) for row in session.scalars(query.order_by(EventRow.seq).limit(at_most))]


def _owned(session: Session, tenant_id: str, adaptation_id: str, *, lock: bool = False) -> AdaptationRow:
    row = session.get(AdaptationRow, adaptation_id, with_for_update=LOCKED if lock else None)
    if row is None or row.tenant_id != tenant_id:
        raise NotFound(f"There is no adaptation {adaptation_id!r}.")
    return row
