"""Exports as rows: what was asked for, and what the finished file is."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from tsugiki.domain import UNFINISHED, Export, JobStatus, Json, Precision
from tsugiki.errors import Conflict, NotFound
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import Database
from tsugiki.storage.presence import ALONE
from tsugiki.storage.quotas import require_room
from tsugiki.storage.tables import ExportRow, ProjectRow, VersionRow


class Exports:
    """What is created here is for process `owner` to run, the one that this is; only it may write of it."""

    def __init__(self, database: Database, blobs: Blobs, owner: int = ALONE) -> None:
        self._database = database
        self._blobs = blobs
        self._owner = owner

    def begin(self, project_id: str, version: int, precision: Precision, abstain_below: float | None = None) -> Export:
        """The export that there is or will be, queued now if there is none: the same file is not made twice.

        One whose file is lost or damaged is none: it is made again. `create` otherwise; raises as it does.
        """
        lost: list[str] = []
        while True:
            with self._database.write(of=project_id) as session:
                row = _newest(session, project_id, version, precision, abstain_below, lost)
                export = _export(row or self._queued(session, project_id, version, precision, abstain_below))
            # Read outside the transaction: a large file far away must not keep everybody from writing.
            if export.sha256 is None or self._blobs.has(project_id, export.sha256):
                return export
            lost.append(export.id)

    def create(self, project_id: str, version: int, precision: Precision, abstain_below: float | None = None) -> Export:
        """A queued one, whatever there is. Raises NotFound for the version."""
        with self._database.write(of=project_id) as session:
            return _export(self._queued(session, project_id, version, precision, abstain_below))

    def get(self, tenant_id: str, export_id: str) -> Export:
        """Another tenant's is NotFound as an unknown one is."""
        query = select(ExportRow).join(ProjectRow, ProjectRow.id == ExportRow.project_id)
        with self._database.read() as session:
            row = session.scalar(query.where(ExportRow.id == export_id, ProjectRow.tenant_id == tenant_id))
            if row is None:
                raise NotFound(f"There is no export {export_id!r}.")
            return _export(row)

    def owners(self) -> frozenset[int]:
        """Whose the unfinished ones are."""
        with self._database.read() as session:
            query = select(ExportRow.owner).where(ExportRow.status.in_(UNFINISHED)).distinct()
            return frozenset(session.scalars(query))

    def unfinished(self) -> list[Export]:
        """Those that are this process's to run, oldest first."""
        mine = select(ExportRow).where(ExportRow.status.in_(UNFINISHED), ExportRow.owner == self._owner)
        with self._database.read() as session:
            return [_export(row) for row in session.scalars(mine.order_by(ExportRow.id))]

    def take_over(self, gone: Collection[int]) -> list[Export]:
        """All unfinished ones of the owners that are gone are this process's from now on. Oldest first."""
        mine = select(ExportRow).where(ExportRow.status.in_(UNFINISHED), ExportRow.owner.in_(gone))
        with self._database.write() as session:
            rows = session.scalars(mine.order_by(ExportRow.id)).all()
            for row in rows:
                row.owner = self._owner
            return [_export(row) for row in rows]

    def start(self, export_id: str) -> Export:
        """Raises Conflict `fenced` once it has ended or is another process's, NotFound when its project was erased."""
        with self._database.write(of=export_id) as session:
            row = self._unfinished(session, export_id)
            row.status = "running"
            return _export(row)

    def put_back(self, export_id: str) -> Export:
        """Queued again. Raises as `start`."""
        with self._database.write(of=export_id) as session:
            row = self._unfinished(session, export_id)
            row.status = "queued"
            return _export(row)

    def finish(self, export_id: str, bytes: int, sha256: str, parity: Json, latency: Json) -> Export:
        """The file must be a blob of the project already. Raises as `start`, and TooLarge `quota_exceeded`."""
        with self._database.write(of=export_id) as session:
            row = self._unfinished(session, export_id)
            project = session.get(ProjectRow, row.project_id)
            assert project is not None, "an export without its project: this is a bug"
            same = select(ExportRow.id).where(ExportRow.project_id == project.id, ExportRow.sha256 == sha256)
            if session.scalar(same.limit(1)) is None:
                require_room(session, project.tenant_id, bytes=bytes, writing=True)
            row.status, row.bytes, row.sha256 = "succeeded", bytes, sha256
            row.parity, row.latency = parity, latency
            return _export(row)

    def fail(self, export_id: str, error: Json) -> Export:
        """Raises as `start`."""
        with self._database.write(of=export_id) as session:
            row = self._unfinished(session, export_id)
            row.status, row.error = "failed", error
            return _export(row)

    def _queued(
        self, session: Session, project_id: str, version: int, precision: Precision, abstain_below: float | None
    ) -> ExportRow:
        if session.get(VersionRow, (project_id, version)) is None:
            raise NotFound(f"There is no version {version}.")
        row = ExportRow(
            id=self._database.ids.new("exp"),
            project_id=project_id,
            version=version,
            precision=precision,
            abstain_below=abstain_below,
            status="queued",
            created_at=self._database.now(),
            owner=self._owner,
        )
        session.add(row)
        return row

    def _unfinished(self, session: Session, export_id: str) -> ExportRow:
        row = session.get(ExportRow, export_id)
        if row is None:
            raise NotFound(f"There is no export {export_id!r}.")
        if row.status not in UNFINISHED:
            raise Conflict(f"{export_id} is {row.status} already.", code="fenced")
        if row.owner != self._owner:
            raise Conflict(f"{export_id} is another process's to run.", code="fenced")
        return row


def _newest(
    session: Session,
    project_id: str,
    version: int,
    precision: Precision,
    abstain_below: float | None,
    lost: Collection[str],
) -> ExportRow | None:
    """The newest that answers so and has succeeded or still may, but for the `lost`."""
    query = select(ExportRow).where(
        ExportRow.project_id == project_id,
        ExportRow.version == version,
        ExportRow.precision == precision,
        ExportRow.abstain_below.is_not_distinct_from(abstain_below),
        ExportRow.status.in_((*UNFINISHED, "succeeded")),
        ExportRow.id.not_in(lost),
    )
    return session.scalar(query.order_by(ExportRow.id.desc()).limit(1))


def _export(row: ExportRow) -> Export:
    return Export(
        id=row.id,
        project_id=row.project_id,
        version=row.version,
        precision=cast(Precision, row.precision),
        abstain_below=row.abstain_below,
        status=cast(JobStatus, row.status),
        bytes=row.bytes,
        sha256=row.sha256,
        parity=row.parity,
        latency=row.latency,
        error=row.error,
        created_at=row.created_at,
    )
