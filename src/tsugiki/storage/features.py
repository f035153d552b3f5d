"""Vectors of samples, kept per feature space so that only what is new has to be embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import insert, select

from tsugiki.errors import ArtifactCorrupt
from tsugiki.storage.database import Database
from tsugiki.storage.sample_rows import LOOKUP_ROWS
from tsugiki.storage.tables import FeatureRow, SampleRow

if TYPE_CHECKING:
    from tsugiki.domain import Floats

STORED = np.dtype("<f4")  # float32, little-endian, whatever machine wrote it


@dataclass(frozen=True, slots=True)
class Loaded:
    """`matrix[i]` (samples, dim), float32, belongs to `sample_ids[i]`; (0, 0) when nothing is stored."""

    sample_ids: tuple[str, ...]
    matrix: Floats


class Features:
    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, project_id: str, space_id: str) -> Loaded:
        """Every vector of the project in this space, by sample id. Raises ArtifactCorrupt on mixed lengths."""
        query = (
            select(FeatureRow.sample_id, FeatureRow.vector)
            .join(SampleRow, SampleRow.id == FeatureRow.sample_id)
            .where(SampleRow.project_id == project_id, FeatureRow.space_id == space_id)
            .order_by(SampleRow.id)
        )
        with self._database.read() as session:
            rows = session.execute(query).all()
        if not rows:
            return Loaded((), np.zeros((0, 0), np.float32))
        size_bytes = len(rows[0].vector)
        if size_bytes % STORED.itemsize or any(len(vector) != size_bytes for _, vector in rows):
            raise ArtifactCorrupt(f"Stored vectors of space {space_id} differ in length.")
        matrix = np.frombuffer(b"".join(vector for _, vector in rows), STORED).reshape(len(rows), -1)
        return Loaded(tuple(sample_id for sample_id, _ in rows), matrix.astype(np.float32, copy=False))

    def save(self, project_id: str, space_id: str, sample_ids: Sequence[str], matrix: Floats) -> None:
        """Keep `matrix` (samples, dim). What is stored stays; a sample that was deleted meanwhile is skipped."""
        vectors = np.ascontiguousarray(matrix, dtype=STORED)
        assert vectors.ndim == 2 and len(vectors) == len(sample_ids), "one vector a sample: this is a bug"
        row_of = {sample_id: row for row, sample_id in enumerate(sample_ids)}
        with self._database.write(of=project_id) as session:
            wanted: list[str] = []
            for start in range(0, len(sample_ids), LOOKUP_ROWS):
                chunk = sample_ids[start : start + LOOKUP_ROWS]
                here = select(SampleRow.id).where(SampleRow.project_id == project_id, SampleRow.id.in_(chunk))
                done = select(FeatureRow.sample_id).where(
                    FeatureRow.sample_id.in_(chunk), FeatureRow.space_id == space_id
                )
                wanted += sorted(set(session.scalars(here)) - set(session.scalars(done)))
            if wanted:
                rows = [
                    {"sample_id": id, "space_id": space_id, "vector": vectors[row_of[id]].tobytes()} for id in wanted
                ]
                session.connection().execute(insert(FeatureRow), rows)  # past the mapper: no objects wanted
