"""Which blobs the rows name: everything else may be swept."""

from __future__ import annotations

from sqlalchemy import select, union_all

from tsugiki.storage.blobs import BlobName
from tsugiki.storage.database import Database
from tsugiki.storage.tables import ExportRow, VersionRow


def referenced_blobs(database: Database) -> frozenset[BlobName]:
    """Grafts, evaluations and exported files of all projects; for `Blobs.sweep`, read before it is called."""
    query = union_all(
        select(VersionRow.project_id, VersionRow.digest),
        select(VersionRow.project_id, VersionRow.evaluation),
        select(ExportRow.project_id, ExportRow.sha256).where(ExportRow.sha256.is_not(None)),
    )
    with database.read() as session:
        return frozenset(BlobName(owner, sha256) for owner, sha256 in session.execute(query))
