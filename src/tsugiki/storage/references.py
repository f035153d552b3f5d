"""Which blobs the rows name: everything else may go, at once where its project was erased."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select, union_all

from tsugiki.domain import UNFINISHED, Modality
from tsugiki.storage.blobs import BlobName
from tsugiki.storage.database import Database
from tsugiki.storage.tables import AdaptationRow, ExportRow, ProjectRow, SampleRow, VersionRow

TEXT: Modality = "text"  # whose samples are in their rows
PROJECT = "proj_"  # how our owners' names begin; a folder of somebody else's beside them is not ours to judge


def referenced_blobs(database: Database) -> frozenset[BlobName]:
    """What versions, exports and unfinished adaptations are made of, and samples that are files.

    For `Blobs.sweep`, read before it is called.
    """
    query = union_all(
        select(VersionRow.project_id, VersionRow.digest),
        select(VersionRow.project_id, VersionRow.evaluation),
        select(ExportRow.project_id, ExportRow.sha256).where(ExportRow.sha256.is_not(None)),
        select(SampleRow.project_id, SampleRow.content).join(ProjectRow).where(ProjectRow.modality != TEXT),
    )
    unfinished = select(AdaptationRow.project_id, AdaptationRow.staged).where(AdaptationRow.status.in_(UNFINISHED))
    with database.read() as session:
        named = frozenset(BlobName(owner, sha256) for owner, sha256 in session.execute(query))
        staged = session.execute(unfinished.where(AdaptationRow.staged.is_not(None))).all()
        return named | {BlobName(owner, sha256) for owner, made in staged for sha256 in (made or {}).values()}


def erased_owners(database: Database, owners: Collection[str]) -> frozenset[str]:
    """Those of `owners` whose project is gone; read them before: a project's row is older than its first blob."""
    with database.read() as session:
        kept = frozenset(session.scalars(select(ProjectRow.id)))
    return frozenset(owner for owner in owners if owner.startswith(PROJECT)) - kept
