"""Samples between their table and the domain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from typing import Literal, cast

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tsugiki.domain import Json, NewSample, Sample
from tsugiki.errors import Issue, NotFound
from tsugiki.storage.duplicates import Twin
from tsugiki.storage.tables import SampleRow

LOOKUP_ROWS = 500  # values in one IN (...): far below every database's limit on variables


def find(session: Session, project_id: str, sample_id: str) -> SampleRow:
    row = session.scalar(select(SampleRow).where(SampleRow.id == sample_id, SampleRow.project_id == project_id))
    if row is None:
        raise NotFound(f"There is no sample {sample_id!r}.")
    return row


def twins_of(session: Session, project_id: str, shas: Iterable[str]) -> dict[str, list[Twin]]:
    """The stored samples of each content, oldest first; a content that is not stored has no entry."""
    found: dict[str, list[Twin]] = {}
    query = select(SampleRow.id, SampleRow.content_sha, SampleRow.label, SampleRow.issues, SampleRow.status)
    rest = iter(shas)
    while chunk := list(islice(rest, LOOKUP_ROWS)):
        rows = session.execute(query.where(SampleRow.project_id == project_id, SampleRow.content_sha.in_(chunk)))
        for id, sha, label, issues, status in rows:
            found.setdefault(sha, []).append(Twin(id, label, _issues(issues), aside=status == "quarantined"))
    return {sha: sorted(twins, key=lambda twin: twin.id) for sha, twins in found.items()}


def save(session: Session, twins: Iterable[Twin]) -> None:
    """Labels and issues of stored samples, as they now are."""
    rows = [{"id": t.id, "label": t.label, "issues": [asdict(issue) for issue in t.issues]} for t in twins]
    if rows:
        session.execute(update(SampleRow), rows)


def values(project_id: str, twin: Twin, sample: NewSample) -> Json:
    """A new row by column, all but `created_at`."""
    return {
        "id": twin.id,
        "project_id": project_id,
        "content": sample.content,
        "content_sha": sample.content_sha,
        "group": sample.group,
        "label": twin.label,
        "external_id": sample.external_id,
        "source": sample.source,
        "metadata": sample.metadata,
        "bytes": 0 if sample.file is None else len(sample.file.data),
        "measures": None if sample.file is None else sample.file.measures,
        "status": "accepted",
        "issues": [asdict(issue) for issue in twin.issues],
    }


def read_sample(row: SampleRow) -> Sample:
    return Sample(
        id=row.id,
        project_id=row.project_id,
        content=row.content,
        content_sha=row.content_sha,
        group=row.group,
        label=row.label,
        external_id=row.external_id,
        source=row.source,
        metadata=row.extra,
        status=cast(Literal["accepted", "quarantined"], row.status),
        issues=_issues(row.issues),
        created_at=row.created_at,
    )


def _issues(rows: Iterable[Json]) -> tuple[Issue, ...]:
    return tuple(Issue(row["code"], row["pointer"], row["detail"], row["fix"], tuple(row["evidence"])) for row in rows)
