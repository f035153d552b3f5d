"""A request that is sent twice is done once: the reply is kept and given again."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any

from sqlalchemy import CursorResult, Result, delete, select, update
from sqlalchemy.orm import Session

from tsugiki.errors import Conflict, Invalid
from tsugiki.storage.database import Database
from tsugiki.storage.presence import ALONE
from tsugiki.storage.tables import IdempotencyRow, ProjectRow

KEPT = timedelta(hours=24)  # what the interface promises
COMPRESSION = 1  # the quickest
TURNS = 16  # of tenants, in one process
NOTHING = zlib.compress(b"")


@dataclass(frozen=True, slots=True)
class Once:
    """What a repeat of a request is known by."""

    tenant_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """Do the work, then `finish`; or `abandon` if it failed and may be tried again.

    What makes something asks first whether it is made (`already`), and tells so in the same transaction (`note_done`).
    """


@dataclass(frozen=True, slots=True)
class Replay:
    """The work was done: this is what was answered, byte for byte. `status` is an HTTP status."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class _Kept:
    """A reply as its row has it."""

    status: int
    content_type: str
    body: bytes
    project_id: str | None


def shown_once() -> Conflict:
    """Instead of a reply with a secret: the database holds none, not for a day either."""
    return Conflict(
        "this was done, and its reply is shown once",
        code="reply_not_kept",
        fix="look at the list; if the secret was lost, revoke the key and make another",
    )


def already(session: Session, once: Once | None) -> str | None:
    """The id of what a former attempt made, of which no reply could be kept: its process ended, or the rest failed."""
    row = None if once is None else session.get(IdempotencyRow, (once.tenant_id, once.key))
    return None if row is None else row.done


def note_done(session: Session, once: Once | None, made: str, project_id: str | None = None) -> None:
    """That `made` exists, if this is committed. With `project_id` it is as good as never made once that is erased."""
    row = None if once is None else session.get(IdempotencyRow, (once.tenant_id, once.key))
    if row is not None:
        row.done, row.project_id = made, project_id


class Idempotency:
    """What begins here runs in process `owner`, the one that this is.

    What could not be written when a request ended, as the database was away, is written when its key is sent again, and
    by `sweep`. Thread-safe.
    """

    def __init__(self, database: Database, owner: int = ALONE) -> None:
        self._database = database
        self._owner = owner
        self._unwritten: dict[tuple[str, str], _Kept | None] = {}  # by tenant and key; None where the work was not done
        self._turns = tuple(Lock() for _ in range(TURNS))

    def begin(self, tenant_id: str, key: str, fingerprint: str) -> Fresh | Replay:
        """`fingerprint` is the same for the same request only.

        Raises Invalid `idempotency_key_reused` for another request under the key, Conflict
        `idempotency_in_progress` while the first one runs.
        """
        with self._turn(tenant_id):
            self._write_up(tenant_id, key)
            now = self._database.now()
            with self._database.write(of=tenant_id) as session:
                row = session.get(IdempotencyRow, (tenant_id, key))
                if row is not None and row.created_at <= now - KEPT:
                    session.delete(row)
                    session.flush()
                    row = None
                if row is None:
                    row = IdempotencyRow(tenant_id=tenant_id, key=key, fingerprint=fingerprint, created_at=now)
                    row.owner = self._owner
                    session.add(row)
                    return Fresh()
                if row.fingerprint != fingerprint:
                    raise Invalid(
                        "This Idempotency-Key was used for another request.",
                        fix="Use a new key for each new request.",
                        code="idempotency_key_reused",
                    )
                if row.status is None and row.owner is not None:
                    raise Conflict(
                        "The first request with this Idempotency-Key is still running.",
                        fix="Ask again in a moment.",
                        code="idempotency_in_progress",
                    )
                if row.status is None:
                    row.owner = self._owner
                    return Fresh()
                return Replay(row.status, row.content_type or "", zlib.decompress(row.body or NOTHING))

    def finish(
        self, tenant_id: str, key: str, status: int, content_type: str, body: bytes, project_id: str | None = None
    ) -> None:
        """Keep the reply. With `project_id` it is erased along with that project, as the project's words must be."""
        # Compressed: what is told of ten thousand bad rows is sixty times what was sent, and all alike.
        kept = _Kept(status, content_type, zlib.compress(body, COMPRESSION), project_id)
        with self._turn(tenant_id):
            self._unwritten[tenant_id, key] = kept
            self._write_up(tenant_id, key)

    def abandon(self, tenant_id: str, key: str) -> None:
        """The work was not done, or not all of it: it may be asked for again. A finished one stays.

        Where nothing was made the key is as good as new.
        """
        with self._turn(tenant_id):
            self._unwritten[tenant_id, key] = None
            self._write_up(tenant_id, key)

    def _turn(self, tenant_id: str) -> Lock:
        """For what is known of a key here and what its row says to go together: else one attempt's end is another's."""
        return self._turns[hash(tenant_id) % len(self._turns)]

    def _write_up(self, tenant_id: str, key: str) -> None:
        """How the last request under the key ended, if that is not written yet. By who has the turn."""
        if (tenant_id, key) not in self._unwritten:
            return
        kept = self._unwritten[tenant_id, key]
        with self._database.write(of=tenant_id) as session:
            row = session.get(IdempotencyRow, (tenant_id, key))
            # Else it was swept or erased meanwhile, and may be another request's: there is nobody left to replay to.
            if row is not None and row.status is None and row.owner == self._owner:
                row.owner = None
                if kept is not None and (kept.project_id is None or session.get(ProjectRow, kept.project_id)):
                    row.status, row.content_type, row.body = kept.status, kept.content_type, kept.body
                    row.project_id = kept.project_id
                elif kept is not None or row.done is None:
                    session.delete(row)
        self._unwritten.pop((tenant_id, key), None)

    def sweep(self) -> int:
        """Forget what is older than 24 h; says how many."""
        for tenant_id, key in tuple(self._unwritten):
            with self._turn(tenant_id):
                self._write_up(tenant_id, key)
        with self._database.write() as session:
            old = IdempotencyRow.created_at <= self._database.now() - KEPT
            return _changed(session.execute(delete(IdempotencyRow).where(old)))

    def owners(self) -> frozenset[int]:
        """In which processes the unfinished ones run."""
        with self._database.read() as session:
            found = session.scalars(select(IdempotencyRow.owner).where(IdempotencyRow.owner.is_not(None)).distinct())
            return frozenset(owner for owner in found if owner is not None)

    def reset(self, gone: Collection[int]) -> int:
        """What ran in processes that are gone does not run any more, and may be asked for again; says how many."""
        theirs = IdempotencyRow.owner.in_(gone)
        with self._database.write() as session:
            nothing = session.execute(delete(IdempotencyRow).where(theirs, IdempotencyRow.done.is_(None)))
            something = session.execute(update(IdempotencyRow).where(theirs).values(owner=None))
            return _changed(nothing) + _changed(something)


def _changed(result: Result[Any]) -> int:  # Any: of no rows
    assert isinstance(result, CursorResult)
    return result.rowcount
