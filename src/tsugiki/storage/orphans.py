"""What was put for a project that was erased meanwhile."""

from __future__ import annotations

from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import Database
from tsugiki.storage.tables import ProjectRow


def erase_if_orphaned(database: Database, blobs: Blobs, project_id: str) -> None:
    """For whoever has put blobs and finds that no row comes to name them: they must not outlive their project."""
    with database.read() as session:
        gone = session.get(ProjectRow, project_id) is None
    if gone:
        blobs.delete_owner(project_id)
