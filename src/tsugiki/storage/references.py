"""Which blobs the rows name: everything else may go, at once where its project was erased."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select, union_all

from tsugiki.storage.blobs import BlobName
from tsugiki.storage.database import Database
from tsugiki.storage.tables import ExportRow, ProjectRow, VersionRow

PROJECT = "proj_"  # how our owners' names begin; a folder of somebody else's beside them is not ours to judge


def referenced_blobs(database: Database) -> frozenset[BlobName]:
    """Grafts, evaluations and exported files of all projects; for `Blobs.sweep`, read before it is called."""
    query = union_all(
        select(VersionRow.project_id, VersionRow.digest),
        select(VersionRow.project_id, VersionRow.evaluation),
        select(ExportRow.project_id, ExportRow.sha256).where(ExportRow.sha256.is_not(None)),
    )
    with database.read() as session:
        return frozenset(BlobName(owner, sha256) for owner, sha256 in session.execute(query))


def erased_owners(database: Database, owners: Collection[str]) -> frozenset[str]:
    """Those of `owners` whose project is gone; read them before: a project's row is older than its first blob."""
    with database.read() as session:
        kept = frozenset(session.scalars(select(ProjectRow.id)))
    return frozenset(owner for owner in owners if owner.startswith(PROJECT)) - kept
