"""A request that is sent twice is done once: the reply is kept and given again."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import CursorResult, Delete, delete, select

from tsugiki.errors import Conflict, Invalid
from tsugiki.storage.database import Database
from tsugiki.storage.presence import ALONE
from tsugiki.storage.tables import IdempotencyRow, ProjectRow

KEPT = timedelta(hours=24)  # what the interface promises
COMPRESSION = 1  # the quickest
NOTHING = zlib.compress(b"")


@dataclass(frozen=True, slots=True)
class Once:
    """What a repeat is known by: the caller's key, and the fingerprint of the one request it stands for."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """Do the work, then `finish`; or `abandon` if it failed and may be tried again."""


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


def reused() -> Invalid:
    return Invalid(
        "This Idempotency-Key was used for another request.",
        fix="Use a new key for each new request.",
        code="idempotency_key_reused",
    )


class Idempotency:
    """What begins here runs in process `owner`, the one that this is.

    What could not be written when a request ended, as the database was away, is written when its key is sent again, and
    by `sweep`. Thread-safe.
    """

    def __init__(self, database: Database, owner: int = ALONE) -> None:
        self._database = database
        self._owner = owner
        self._unwritten: dict[tuple[str, str], _Kept | None] = {}  # by tenant and key; None where the work was not done

    def begin(self, tenant_id: str, key: str, fingerprint: str) -> Fresh | Replay:
        """`fingerprint` is the same for the same request only.

        Raises Invalid `idempotency_key_reused` for another request under the key, Conflict
        `idempotency_in_progress` while the first one runs.
        """
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
                raise reused()
            if row.status is None:
                raise Conflict(
                    "The first request with this Idempotency-Key is still running.",
                    fix="Ask again in a moment.",
                    code="idempotency_in_progress",
                )
            return Replay(row.status, row.content_type or "", zlib.decompress(row.body or NOTHING))

    def finish(
        self, tenant_id: str, key: str, status: int, content_type: str, body: bytes, project_id: str | None = None
    ) -> None:
        """Keep the reply. With `project_id` it is erased along with that project, as the project's words must be."""
        # Compressed: what is told of ten thousand bad rows is sixty times what was sent, and all alike.
        kept = _Kept(status, content_type, zlib.compress(body, COMPRESSION), project_id)
        self._unwritten[tenant_id, key] = kept
        self._write_up(tenant_id, key)

    def abandon(self, tenant_id: str, key: str) -> None:
        """The work was not done: the key is as good as new. A finished one stays."""
        self._unwritten[tenant_id, key] = None
        self._write_up(tenant_id, key)

    def _write_up(self, tenant_id: str, key: str) -> None:
        """How the last request under the key ended, if that is not written yet."""
        if (tenant_id, key) not in self._unwritten:
            return
        kept = self._unwritten[tenant_id, key]
        with self._database.write(of=tenant_id) as session:
            row = session.get(IdempotencyRow, (tenant_id, key))
            # Else it was swept or erased meanwhile, and may be another request's: there is nobody left to replay to.
            if row is not None and row.status is None and row.owner == self._owner:
                if kept is None or (kept.project_id is not None and session.get(ProjectRow, kept.project_id) is None):
                    session.delete(row)
                else:
                    row.status, row.content_type, row.body = kept.status, kept.content_type, kept.body
                    row.project_id, row.owner = kept.project_id, None
        self._unwritten.pop((tenant_id, key), None)

    def sweep(self) -> int:
        """Forget what is older than 24 h; says how many."""
        for tenant_id, key in tuple(self._unwritten):
            self._write_up(tenant_id, key)
        return self._delete(delete(IdempotencyRow).where(IdempotencyRow.created_at <= self._database.now() - KEPT))

    def owners(self) -> frozenset[int]:
        """In which processes the unfinished ones run."""
        with self._database.read() as session:
            found = session.scalars(select(IdempotencyRow.owner).where(IdempotencyRow.owner.is_not(None)).distinct())
            return frozenset(owner for owner in found if owner is not None)

    def reset(self, gone: Collection[int]) -> int:
        """What ran in processes that are gone does not run any more; says how many."""
        return self._delete(delete(IdempotencyRow).where(IdempotencyRow.owner.in_(gone)))

    def _delete(self, statement: Delete, of: str | None = None) -> int:
        with self._database.write(of) as session:
            result = session.execute(statement)
            assert isinstance(result, CursorResult)
            return result.rowcount
