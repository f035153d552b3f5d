"""Presence where processes share a PostgreSQL server, on whatever machines: a number is a lock of a session."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from psycopg import Connection, Error

from tsugiki.errors import Unavailable
from tsugiki.storage.postgres import ANSWER_S, connect_alone
from tsugiki.storage.presence import ALONE

if TYPE_CHECKING:
    from typing import LiteralString

log = logging.getLogger(__name__)

SERVING, TRAINING = 0x7568, 0x7569  # kinds of processes: the first halves of their advisory locks' keys
TURN = 0  # the second half of the lock that is held for a turn; numbers begin above it
LOOK_EVERY_S = 1.0
GRACE_S = 10.0  # who lost its connection has so long to come back before its work is another's
TURN_TIMEOUT_S = 60  # far beyond the longest turn, a migration
HELD: LiteralString = (
    "SELECT objid::int FROM pg_locks JOIN pg_database ON pg_database.oid = database AND datname = current_database() "
    "WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted"
)


class SessionPresence:
    """The lowest free number of its `kind`, this process's own until it closes, dies, or is cut off.

    Cut off, it takes its number again as soon as it can; `on_lost` is called where another process has it by then.
    `processes` of its kind it counts each `LOOK_EVERY_S`.
    """

    def __init__(self, url: str, kind: int, on_lost: Callable[[], None]) -> None:
        """Raises Unavailable."""
        self._url = url
        self._kind = kind
        self._on_lost = on_lost
        self._missed: dict[int, float] = {}  # since when a number has been nobody's
        self._lock = threading.RLock()  # of the connection
        self._closed = threading.Event()
        with _told_as_ours():
            self._connection = self._connect()
            self.number = next(number for number in count(ALONE) if self._take(self._connection, number))
            self.processes = self._count(self._connection)
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    @contextmanager
    def turn(self) -> Generator[None]:
        """One process, and one thread of it, at a time. Blocks. Raises Unavailable."""
        with self._lock:
            with _told_as_ours():
                self._connection.execute("SELECT pg_advisory_lock(%s, %s)", (self._kind, TURN))
            try:
                yield
            finally:
                with _told_as_ours():
                    self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", (self._kind, TURN))

    def gone(self, numbers: Collection[int]) -> frozenset[int]:
        """Those that have been nobody's for a while; to be asked within `turn`. Raises Unavailable."""
        now = time.monotonic()
        with self._lock, _told_as_ours():
            held = _held(self._connection, self._kind)
        self._missed = {number: self._missed.get(number, now) for number in set(numbers) - held}
        return frozenset(number for number, since in self._missed.items() if now - since >= GRACE_S)

    def close(self) -> None:
        """Give the number away: only when nothing of what this process owns runs any more."""
        self._closed.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            try:
                with self._lock:
                    if not self._kept():
                        break
            except Error as error:
                log.warning("process %d is cut off from the others (%s)", self.number, type(error).__name__)
        if not self._closed.is_set():
            self._on_lost()

    def _kept(self) -> bool:
        """Whether the number is still, or again, this process's. Raises what the driver raises."""
        if not self._connection.closed:
            try:
                self.processes = self._count(self._connection)
                return True
            except Error:
                self._connection.close()
        connection = self._connect()
        if self._take(connection, self.number):
            self._connection = connection
            return True
        connection.close()
        return False

    def _connect(self) -> Connection[tuple[Any, ...]]:  # Any: rows of whatever is asked
        connection = connect_alone(self._url, TURN_TIMEOUT_S + ANSWER_S)
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{TURN_TIMEOUT_S}s",))
        return connection

    def _count(self, connection: Connection[tuple[Any, ...]]) -> int:
        return len(_held(connection, self._kind) - {TURN})

    def _take(self, connection: Connection[tuple[Any, ...]], number: int) -> bool:
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (self._kind, number)).fetchone()
        return row is not None and bool(row[0])


def _held(connection: Connection[tuple[Any, ...]], kind: int) -> frozenset[int]:
    return frozenset(int(number) for (number,) in connection.execute(HELD, (kind,)))


@contextmanager
def _told_as_ours() -> Generator[None]:
    try:
        yield
    except Error as error:
        raise Unavailable("The database cannot be reached.") from error
