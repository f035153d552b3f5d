"""What one process changed, as the others learn it: rows that are written with the change, and a thread that looks.

Another database may tell of new rows by itself (PostgreSQL's LISTEN/NOTIFY): then only `Watcher` looks otherwise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import CursorResult, delete, func, select
from sqlalchemy.orm import Session

from tsugiki.storage.database import Database
from tsugiki.storage.looking import Looking
from tsugiki.storage.tables import ChangeRow

KEPT = timedelta(hours=1)  # far beyond what a busy machine delays a look
BLIND_S = KEPT.total_seconds() / 2  # who has not looked for so long may have missed rows that were pruned
LOOK_EVERY_S = 0.1  # a move must be seen within 1 s: room for some looks that come late


@dataclass(frozen=True, slots=True)
class Change:
    """Something of the project moved: an alias, its policy; or `erased`, all of it."""

    project_id: str
    erased: bool


def note(database: Database, session: Session, project_id: str, *, erased: bool = False) -> None:
    """Tell the others, last in the transaction that makes the change: they learn of it if it happens, and only then.

    Nothing is written where there are no others. Of an erased project the note holds the id, and nothing else does.
    """
    if not database.shared:
        return
    database.tell(session)  # first: who looks at numbers in order would miss one that is committed late
    if erased:
        session.execute(delete(ChangeRow).where(ChangeRow.project_id == project_id))
    session.add(ChangeRow(project_id=project_id, erased=erased, at=database.now()))
    session.flush()


class Changes:
    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self) -> int:
        """The newest change's number; they only grow."""
        with self._database.read() as session:
            return session.scalar(select(func.max(ChangeRow.seq))) or 0

    def since(self, seq: int) -> dict[int, Change]:
        """By number, in order."""
        query = select(ChangeRow).where(ChangeRow.seq > seq).order_by(ChangeRow.seq)
        with self._database.read() as session:
            return {row.seq: Change(row.project_id, row.erased) for row in session.scalars(query)}

    def prune(self) -> int:
        """Forget what every process has seen long since; says how many."""
        with self._database.write() as session:
            result = session.execute(delete(ChangeRow).where(ChangeRow.at <= self._database.now() - KEPT))
            assert isinstance(result, CursorResult)
            return result.rowcount


class Watcher:
    """A thread that calls `on_change` for all that is committed from now on, by whatever process.

    `on_blind` is called, once, when it could not look for so long that changes may have been missed.
    """

    def __init__(self, database: Database, on_change: Callable[[Change], None], on_blind: Callable[[], None]) -> None:
        self._database = database
        self._changes = Changes(database)
        self._on_change = on_change
        self._on_blind = on_blind
        self._turn = threading.Lock()  # of whoever looks
        self._seen = self._changes.last()
        self._looked = time.monotonic()
        self._looking = Looking("changes", "changes of other processes", self._watch)

    def last(self) -> int:
        """The newest change's number: a caller who was told it has seen all up to it. Raises Unavailable."""
        return self._changes.last()

    def catch_up(self, seq: int) -> None:
        """Look now, unless all up to this change was seen already. Raises Unavailable."""
        if self._seen < seq:
            self._look()

    def close(self) -> None:
        self._looking.close()

    def _watch(self, closed: threading.Event) -> None:
        """Until closed; ended by what a look raises."""
        with ExitStack() as stack:
            commits = stack.enter_context(self._database.commits())
            committed: int | None = None
            while True:
                now = time.monotonic()
                if now - self._looked > BLIND_S:
                    self._on_blind()
                    return
                if committed != (committed := commits()):
                    self._look()
                self._looked = now
                if closed.wait(LOOK_EVERY_S):
                    return

    def _look(self) -> None:
        with self._turn:
            for seq, change in self._changes.since(self._seen).items():
                self._on_change(change)
                self._seen = seq
