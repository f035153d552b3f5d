"""What an unfinished adaptation has made so far, kept as blobs: another attempt goes on where this one ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save
from sqlalchemy import select

from tsugiki.domain import Fitted, HeldOut
from tsugiki.errors import ArtifactCorrupt, Conflict
from tsugiki.storage import grafts
from tsugiki.storage.adaptation_rows import fenced
from tsugiki.storage.orphans import erase_if_orphaned
from tsugiki.storage.tables import AdaptationRow
from tsugiki.storage.version_rows import snapshot_content, snapshot_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Json, Snapshot
    from tsugiki.storage.blobs import Blobs
    from tsugiki.storage.database import Database

Piece = Literal["snapshot", "graft", "held_out", "findings"]


class Unfinished:
    """Blobs before the row that names them; of an ended adaptation nothing is named, and its blobs are swept."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def keep_snapshot(self, snapshot: Snapshot, adaptation_id: str, attempt: int) -> None:
        """In place of all that was kept, which was made from another one. Raises Conflict `fenced`."""
        content = json.dumps({"id": snapshot.id, **snapshot_content(snapshot)}, separators=(",", ":"))
        self._keep(snapshot.project_id, adaptation_id, attempt, {"snapshot": content.encode()}, anew=True)

    def snapshot(self, project_id: str, adaptation_id: str) -> Snapshot | None:
        """None before one was kept. Raises ArtifactCorrupt."""
        data = self._kept(project_id, adaptation_id, "snapshot")
        if data is None:
            return None
        content: Json = json.loads(data)
        return snapshot_of(content["id"], project_id, content)

    def keep_fitted(self, project_id: str, fitted: Fitted, findings: Json, adaptation_id: str, attempt: int) -> None:
        """`findings` are the audit's. Raises Conflict `fenced`."""
        tensors: dict[str, NDArray[Any]] = {  # Any: numbers of three kinds
            "rows": fitted.held_out.rows,
            "probabilities": fitted.held_out.probabilities,
        }
        if fitted.held_out.answers is not None:
            tensors["answers"] = fitted.held_out.answers
        held_out = save(tensors)
        pieces: dict[Piece, bytes] = {"graft": grafts.encode(fitted.graft), "held_out": held_out}
        pieces["findings"] = json.dumps(findings, separators=(",", ":")).encode()
        self._keep(project_id, adaptation_id, attempt, pieces)

    def fitted(self, project_id: str, adaptation_id: str) -> Fitted | None:
        """None before one was kept. Raises ArtifactCorrupt."""
        graft = self._kept(project_id, adaptation_id, "graft")
        held_out = self._kept(project_id, adaptation_id, "held_out")
        if graft is None or held_out is None:
            return None
        try:
            tensors = load(held_out)
            answers = HeldOut(
                tensors["rows"].astype(np.int64), tensors["probabilities"].astype(np.float32), tensors.get("answers")
            )
        except (SafetensorError, KeyError) as error:
            raise ArtifactCorrupt("These bytes are no held-out answers.") from error
        return Fitted(grafts.decode(graft), answers)

    def findings(self, project_id: str, adaptation_id: str) -> Json | None:
        """None before some were kept, if only none. Raises ArtifactCorrupt."""
        data = self._kept(project_id, adaptation_id, "findings")
        return None if data is None else json.loads(data)

    def _keep(
        self, project_id: str, adaptation_id: str, attempt: int, pieces: dict[Piece, bytes], *, anew: bool = False
    ) -> None:
        made = {name: self._blobs.put(project_id, data) for name, data in pieces.items()}
        try:
            with self._database.write(of=adaptation_id) as session:
                row = fenced(session, adaptation_id, attempt)
                row.staged = {**({} if anew else row.staged or {}), **made}
        except Conflict:
            erase_if_orphaned(self._database, self._blobs, project_id)
            raise

    def _kept(self, project_id: str, adaptation_id: str, name: Piece) -> bytes | None:
        with self._database.read() as session:
            staged = session.scalar(select(AdaptationRow.staged).where(AdaptationRow.id == adaptation_id))
        sha256 = (staged or {}).get(name)
        return None if sha256 is None else self._blobs.get(project_id, sha256)
