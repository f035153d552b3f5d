"""The registry: versions are published once and never change; what is served changes by moving an alias only."""

from __future__ import annotations

import json
from collections.abc import Callable

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from tsugiki.domain import LIVE, Alias, AliasMove, Graft, Json, NewVersion, Project, Snapshot, Version
from tsugiki.errors import ArtifactCorrupt, Conflict, NotFound
from tsugiki.storage import grafts
from tsugiki.storage.adaptation_rows import FENCED, LOCKED, FollowUp, queued
from tsugiki.storage.aliases import UNSET, Expected, history, latest, move, previous, read_alias, read_move
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.changes import note
from tsugiki.storage.database import Database
from tsugiki.storage.fixes import Aside, quarantine
from tsugiki.storage.idempotency import Once, already, note_done
from tsugiki.storage.orphans import erase_if_orphaned
from tsugiki.storage.pages import Page, cut, one_more
from tsugiki.storage.presence import TRAINER
from tsugiki.storage.projects import found_project, read_project
from tsugiki.storage.quotas import require_room
from tsugiki.storage.tables import AdaptationRow, AliasMoveRow, AliasRow, ProjectRow, SnapshotRow, VersionRow
from tsugiki.storage.version_rows import read_snapshot, read_version, snapshot_row, version_row

# The version that an alias points at; made once (see `found_project`).
POINTED_AT = (
    select(VersionRow)
    .join(AliasRow, (AliasRow.project_id == VersionRow.project_id) & (AliasRow.version == VersionRow.number))
    .where(AliasRow.project_id == bindparam("project_id"), AliasRow.name == bindparam("alias"))
)
FOLLOWS = "follows"  # of a request: the adaptation that it goes on from


def _nobody(project_id: str) -> None:
    """Who listens when nobody does."""


class Registry:
    """`on_move` is called with a project's id after an alias of it moved, once the move is durable."""

    def __init__(self, database: Database, blobs: Blobs, on_move: Callable[[str], None] = _nobody) -> None:
        self._database = database
        self._blobs = blobs
        self._on_move = on_move

    def publish(
        self,
        project_id: str,
        new: NewVersion,
        adaptation_id: str,
        attempt: int,
        promote_to: str | None,
        expected: int | None,
        gate: Json,
        timings: Json,
        actor: str,
        follow_up: FollowUp | None = None,
        aside: Aside | None = None,
    ) -> Version:
        """Make a version of `new`, move alias `promote_to` (if any) to it, and end the adaptation: all or nothing.

        `follow_up` is another adaptation that goes on from here, queued for the trainer by the same
        transaction; one of the project that waits already is cancelled, for it would do the same. What is `aside` is
        not trained on from then on.
        `expected` is the version the gate compared with, None if nothing was live. Raises Conflict `fenced` when
        this attempt may no longer write (cancelled, overtaken, project erased), `alias_moved` when the alias is not at
        `expected` any more, and TooLarge `quota_exceeded`. Objects before pointers: a crash leaves blobs without a row,
        never a row without its blobs.
        """
        assert new.snapshot.project_id == project_id, "a snapshot of another project: this is a bug"
        graft, evaluation = grafts.encode(new.graft), _canonical(new.evaluation)
        graft_sha, evaluation_sha = self._blobs.put(project_id, graft), self._blobs.put(project_id, evaluation)
        now = self._database.now()
        try:
            with self._database.write(of=project_id) as session:
                adaptation = _fence(session, project_id, adaptation_id, attempt)
                size = len(graft) + len(evaluation)
                require_room(session, adaptation.tenant_id, bytes=size, writing=True)
                last = select(func.max(VersionRow.number)).where(VersionRow.project_id == project_id)
                number = (session.scalar(last) or 0) + 1
                if session.get(SnapshotRow, new.snapshot.id) is None:
                    session.add(snapshot_row(new.snapshot, now))
                    session.flush()
                row = version_row(new, number, adaptation_id, graft_sha, evaluation_sha, size, now)
                session.add(row)
                session.flush()
                if promote_to is not None:
                    reason = str(gate.get("reason", "promoted"))
                    move(session, project_id, promote_to, number, expected, "move", reason, actor, now)
                adaptation.status, adaptation.phase, adaptation.fraction = "succeeded", "promote", 1.0
                adaptation.version, adaptation.gate, adaptation.timings = number, gate, timings
                adaptation.finished_at, adaptation.staged = now, None
                if aside is not None:
                    quarantine(session, project_id, aside)
                if follow_up is not None:
                    _follow(self._database, session, project_id, adaptation_id, follow_up)
                    self._database.tell(session)
                if promote_to is not None:
                    note(self._database, session, project_id)
        except Conflict:
            erase_if_orphaned(self._database, self._blobs, project_id)
            raise
        if promote_to is not None:
            self._on_move(project_id)
        return read_version(row)

    def get(self, project_id: str, number: int) -> Version:
        with self._database.read() as session:
            return read_version(_found(session, project_id, number))

    def resolve(self, tenant_id: str, ref: str, alias: str, number: int | None) -> tuple[Project, Version | None]:
        """The tenant's project, and its version by number or, without one, by alias: None if nothing is live.

        None as well for any other alias before there is a version. Raises NotFound for what is unknown.
        """
        with self._database.read() as session:
            project = found_project(session, tenant_id, ref)
            if number is not None:
                return read_project(project), read_version(_found(session, project.id, number))
            row = session.scalar(POINTED_AT, {"project_id": project.id, "alias": alias})
            if row is not None:
                return read_project(project), read_version(row)
            if alias != LIVE and session.scalar(select(VersionRow.number).filter_by(project_id=project.id).limit(1)):
                raise _no_alias(alias)
            return read_project(project), None

    def list(self, project_id: str, after: int = 0, limit: int = 100) -> Page[Version]:
        """Oldest first; `after` is a version's number."""
        query = select(VersionRow).where(VersionRow.project_id == project_id, VersionRow.number > after)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(VersionRow.number).limit(one_more(limit))).all()
            return cut(rows, limit, read_version)

    def graft(self, version: Version) -> Graft:
        """Read from disk and verified at each call. Raises ArtifactCorrupt."""
        graft = grafts.decode(self._blobs.get(version.project_id, version.digest))
        if (graft.head.labels, graft.feature_space) != (version.labels, version.feature_space):
            raise ArtifactCorrupt(f"The graft of version {version.number} is not what its row says.")
        return graft

    def evaluation(self, version: Version) -> Json:
        """The whole evaluation, as published. Raises ArtifactCorrupt."""
        with self._database.read() as session:
            sha256 = _found(session, version.project_id, version.number).evaluation
        return json.loads(self._blobs.get(version.project_id, sha256))

    def snapshot(self, snapshot_id: str) -> Snapshot:
        with self._database.read() as session:
            row = session.get(SnapshotRow, snapshot_id)
            if row is None:
                raise NotFound(f"There is no snapshot {snapshot_id!r}.")
            return read_snapshot(row)

    def alias(self, project_id: str, name: str) -> Alias | None:
        with self._database.read() as session:
            row = session.get(AliasRow, (project_id, name))
            return read_alias(row) if row else None

    def aliases(self, project_id: str, after: str | None = None, limit: int = 100) -> Page[Alias]:
        """By name; `after` is an alias's name."""
        query = select(AliasRow).where(AliasRow.project_id == project_id, AliasRow.name > (after or ""))
        with self._database.read() as session:
            return cut(session.scalars(query.order_by(AliasRow.name).limit(one_more(limit))).all(), limit, read_alias)

    def move(
        self,
        project_id: str,
        name: str,
        version: int,
        expected: Expected = UNSET,
        reason: str = "",
        actor: str = "",
    ) -> Alias:
        """Point the alias at a version, making the alias if it is new; already there changes nothing.

        Raises Conflict `alias_moved` unless it is at `expected` (None: does not exist), NotFound for the version.
        """
        with self._database.write(of=project_id) as session:
            _found(session, project_id, version)
            row = move(session, project_id, name, version, expected, "move", reason, actor, self._database.now())
            note(self._database, session, project_id)
        self._on_move(project_id)
        return read_alias(row)

    def history(self, project_id: str, name: str, before: int | None = None, limit: int = 100) -> Page[AliasMove]:
        """Newest first; of those with an id below `before`. Raises NotFound."""
        with self._database.read() as session:
            _alias(session, project_id, name)
            return cut(latest(session, project_id, name, before, one_more(limit)), limit, read_move)

    def rollback(self, project_id: str, name: str, actor: str, once: Once | None = None) -> Alias:
        """Undo the alias's last move that is not undone yet, unless a former attempt of the same request has done so.

        Raises Conflict `nothing_to_roll_back`, NotFound.
        """
        with self._database.write(of=project_id) as session:
            _alias(session, project_id, name)
            if (made := already(session, once)) is not None and (done := session.get(AliasMoveRow, int(made))):
                return Alias(project_id, name, done.to_version, done.at)
            version = previous(history(session, project_id, name))
            if version is None:
                raise Conflict(f"Alias {name!r} has no earlier version.", code="nothing_to_roll_back")
            now = self._database.now()
            row = move(session, project_id, name, version, UNSET, "rollback", "rollback", actor, now)
            (done,) = latest(session, project_id, name, None, 1)
            note_done(session, once, str(done.id), project_id)
            note(self._database, session, project_id)
        self._on_move(project_id)
        return read_alias(row)


def _follow(database: Database, session: Session, project_id: str, followed: str, new: FollowUp) -> None:
    waiting = select(AdaptationRow).where(
        AdaptationRow.project_id == project_id, AdaptationRow.status == "queued", AdaptationRow.owner == TRAINER
    )
    for row in session.scalars(waiting.with_for_update(key_share=True)):
        if FOLLOWS in row.request:
            row.status, row.finished_at, row.staged = "cancelled", database.now(), None
    project = session.get(ProjectRow, project_id)
    assert project is not None, "an adaptation without its project: this is a bug"
    session.add(queued(database, project, {**new.request, FOLLOWS: followed}, TRAINER, new.plan))


def _fence(session: Session, project_id: str, adaptation_id: str, attempt: int) -> AdaptationRow:
    row = session.get(AdaptationRow, adaptation_id, with_for_update=LOCKED)
    if row is None or row.project_id != project_id or (row.status, row.attempts) != ("running", attempt):
        raise Conflict(f"Attempt {attempt} of {adaptation_id} may no longer publish.", code=FENCED)
    return row


def _alias(session: Session, project_id: str, name: str) -> AliasRow:
    row = session.get(AliasRow, (project_id, name))
    if row is None:
        raise _no_alias(name)
    return row


def _no_alias(name: str) -> NotFound:
    return NotFound(f"There is no alias {name!r}.")


def _found(session: Session, project_id: str, number: int) -> VersionRow:
    row = session.get(VersionRow, (project_id, number))
    if row is None:
        raise NotFound(f"There is no version {number}.")
    return row


def _canonical(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
