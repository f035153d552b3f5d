"""Moving an alias within a transaction: compare, set, and keep the history that a rollback replays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tsugiki.domain import Alias, AliasMove
from tsugiki.errors import Conflict
from tsugiki.storage.tables import AliasMoveRow, AliasRow


class Unset(Enum):
    """The caller expects nothing: not the same as expecting that the alias does not exist, which is None."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
Expected = int | None | Literal[Unset.UNSET]
Kind = Literal["move", "rollback"]


def move(
    session: Session,
    project_id: str,
    name: str,
    version: int,
    expected: Expected,
    kind: Kind,
    reason: str,
    actor: str,
    now: datetime,
) -> AliasRow:
    """Raises Conflict `alias_moved`; the transaction must hold the write lock, which makes this a compare-and-set."""
    row = session.get(AliasRow, (project_id, name))
    found = row.version if row else None
    if expected is not UNSET and found != expected:
        raise Conflict(
            f"Alias {name!r} was expected at {_told(expected)} and is at {_told(found)}.",
            fix="Look at what is live now, then move the alias again.",
            code="alias_moved",
        )
    if row is not None and found == version:
        return row
    if row is None:
        row = AliasRow(project_id=project_id, name=name, version=version, moved_at=now)
        session.add(row)
    row.version, row.moved_at = version, now
    session.add(
        AliasMoveRow(
            project_id=project_id,
            alias=name,
            kind=kind,
            from_version=found,
            to_version=version,
            reason=reason,
            actor=actor,
            at=now,
        )
    )
    return row


def history(session: Session, project_id: str, name: str) -> Sequence[AliasMoveRow]:
    """Oldest first."""
    query = select(AliasMoveRow).where(AliasMoveRow.project_id == project_id, AliasMoveRow.alias == name)
    return session.scalars(query.order_by(AliasMoveRow.id)).all()


def latest(session: Session, project_id: str, name: str, before: int | None, at_most: int) -> Sequence[AliasMoveRow]:
    """Newest first; only those with an id below `before`, where there is one."""
    query = select(AliasMoveRow).where(AliasMoveRow.project_id == project_id, AliasMoveRow.alias == name)
    if before is not None:
        query = query.where(AliasMoveRow.id < before)
    return session.scalars(query.order_by(AliasMoveRow.id.desc()).limit(at_most)).all()


def previous(moves: Sequence[AliasMoveRow]) -> int | None:
    """Where a rollback leads; None if there is nothing to undo.

    A move pushes, a rollback pops, so that rollbacks in a row go further back instead of to and fro:
    1, 2, 3, rollback -> 2, rollback -> 1.
    """
    stack: list[int] = []
    for entry in moves:
        if entry.kind == "rollback":
            stack.pop()
        else:
            stack.append(entry.to_version)
    return stack[-2] if len(stack) > 1 else None


def read_alias(row: AliasRow) -> Alias:
    return Alias(row.project_id, row.name, row.version, row.moved_at)


def read_move(row: AliasMoveRow) -> AliasMove:
    return AliasMove(row.id, row.alias, row.from_version, row.to_version, row.reason, row.actor, row.at)


def _told(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"
