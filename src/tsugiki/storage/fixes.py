"""What becomes of a sample somebody decided about; each within the caller's transaction, checked before it writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from typing import Literal, assert_never

from sqlalchemy import select
from sqlalchemy.orm import Session

from tsugiki.domain import ROW_FINDINGS, Fix
from tsugiki.errors import Conflict, Invalid, Issue, NotFound, TsugikiError
from tsugiki.storage.duplicates import CONFLICTING, contradictions
from tsugiki.storage.sample_rows import LOOKUP_ROWS, find, save, twins_of
from tsugiki.storage.tables import ReviewRow, SampleRow

FixStatus = Literal["applied", "unchanged", "rejected"]
FOUND_BY_AUDIT = frozenset(ROW_FINDINGS) - {CONFLICTING}  # a contradiction is a stored sample's own, not an audit's


@dataclass(frozen=True, slots=True)
class Fixed:
    """What became of one fix; `error` says why a rejected one changed nothing."""

    status: FixStatus
    error: TsugikiError | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a sample is now: `kept` are the codes for which somebody said that it is right."""

    label: str | None
    quarantined: bool
    kept: frozenset[str] = field(default_factory=frozenset[str])


@dataclass(frozen=True, slots=True)
class Aside:
    """Samples to be set aside, by id: what an audit found of each, and the label that it saw."""

    issues: Mapping[str, Issue]
    labels: Mapping[str, str]


def apply(session: Session, project_id: str, fix: Fix, actor: str, now: datetime) -> Fixed:
    """Wholly or not at all; a fix that is done already changes nothing."""
    try:
        changed = _apply(session, project_id, fix, actor, now)
    except (Conflict, Invalid, NotFound) as error:
        return Fixed("rejected", error)
    return Fixed("applied" if changed else "unchanged")


def relabel(session: Session, row: SampleRow, label: str | None) -> bool:
    """Says whether that changed anything. Raises Conflict `duplicate_exact`."""
    twins = twins_of(session, row.project_id, [row.content_sha])[row.content_sha]
    clash = [twin for twin in twins if twin.id != row.id and label in (twin.label, None)]
    if clash:
        raise Conflict(
            f"Sample {clash[0].id} has the same input{' and this label' if label is not None else ''} already.",
            fix="Delete one of the two.",
            code="duplicate_exact",
        )
    changed = row.label != label
    row.label = label
    released = _release(row)
    session.flush()
    _tell_contradictions(session, row)
    session.refresh(row)
    return changed or released


def remove(session: Session, row: SampleRow) -> None:
    """Its features and reviews go with it; those with the same input learn that it is gone."""
    session.delete(row)
    session.flush()
    _tell_contradictions(session, row)


def quarantine(session: Session, project_id: str, found: Aside) -> int:
    """Not trained on from now on, until somebody has looked; how many samples that were.

    Left alone are those that are gone, were relabelled since the audit, or kept.
    """
    count = 0
    for row, review in _reviewed(session, project_id, found.issues):
        issue = found.issues[row.id]
        if row.status != "accepted" or row.label != found.labels[row.id] or issue.code in _kept(row, review):
            continue
        row.status, row.issues = "quarantined", [*row.issues, asdict(issue)]
        count += 1
    return count


def standings(session: Session, project_id: str, sample_ids: Collection[str]) -> dict[str, Standing]:
    """Of those samples that are still there."""
    return {
        row.id: Standing(row.label, row.status == "quarantined", _kept(row, review))
        for row, review in _reviewed(session, project_id, sample_ids)
    }


def kept(session: Session, project_id: str) -> frozenset[tuple[str, str]]:
    """(sample id, code) of everything in the project that somebody said is right."""
    query = select(SampleRow.id, ReviewRow.codes).join(ReviewRow, ReviewRow.sample_id == SampleRow.id)
    rows = session.execute(
        query.where(SampleRow.project_id == project_id, SampleRow.label.is_not_distinct_from(ReviewRow.label))
    )
    return frozenset((id, code) for id, codes in rows for code in codes)


def _apply(session: Session, project_id: str, fix: Fix, actor: str, now: datetime) -> bool:
    try:
        row = find(session, project_id, fix.sample_id)
    except NotFound:
        if fix.action != "drop":
            raise
        return False  # dropped before: to say so twice is no mistake
    done = (fix.label,) if fix.action == "relabel" else ()
    if fix.expected_label is not None and row.label not in (fix.expected_label, *done):
        raise Conflict(
            f"Sample {row.id} has not the expected label any more.",
            fix="Look at it as it is now.",
            code="label_changed",
        )
    action = fix.action
    match action:
        case "relabel":
            return relabel(session, row, fix.label)
        case "drop":
            remove(session, row)
            return True
        case "keep":
            return _keep(session, row, fix, actor, now)
        case _:
            assert_never(action)


def _tell_contradictions(session: Session, row: SampleRow) -> None:
    """To all that have the row's input, as they now are."""
    twins = twins_of(session, row.project_id, [row.content_sha]).get(row.content_sha, [])
    save(session, [now for before, now in zip(twins, contradictions(twins), strict=True) if now != before])


def _keep(session: Session, row: SampleRow, fix: Fix, actor: str, now: datetime) -> bool:
    released = _release(row)
    review = session.get(ReviewRow, row.id)
    if review is None:
        review = ReviewRow(sample_id=row.id, label=row.label, codes=[], actor=actor, at=now)
        session.add(review)
    before = _kept(row, review)
    after = before | frozenset(fix.codes)
    if before == after:
        return released
    review.label, review.codes, review.actor, review.at = row.label, sorted(after), actor, now
    session.flush()
    return True


def _kept(row: SampleRow, review: ReviewRow | None) -> frozenset[str]:
    return frozenset(review.codes) if review is not None and review.label == row.label else frozenset[str]()


def _release(row: SampleRow) -> bool:
    """Out of quarantine, with what put it there."""
    if row.status == "accepted":
        return False
    row.status = "accepted"
    row.issues = [issue for issue in row.issues if issue["code"] not in FOUND_BY_AUDIT]
    return True


def _reviewed(
    session: Session, project_id: str, sample_ids: Iterable[str]
) -> Iterator[tuple[SampleRow, ReviewRow | None]]:
    query = select(SampleRow, ReviewRow).outerjoin(ReviewRow, ReviewRow.sample_id == SampleRow.id)
    rest = iter(sample_ids)
    while chunk := list(islice(rest, LOOKUP_ROWS)):
        rows = session.execute(query.where(SampleRow.project_id == project_id, SampleRow.id.in_(chunk)))
        yield from ((row, review) for row, review in rows)
