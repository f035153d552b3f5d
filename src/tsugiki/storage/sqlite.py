"""Everything that is true of SQLite only: how it opens, begins, empties its log and fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tsugiki.errors import StorageFull, TsugikiError, Unavailable
from tsugiki.storage.tables import to_json

LOG_TIMEOUT_MS = 500  # how long emptying the log waits for readers, for nobody can write meanwhile
POOL_SIZE = 8  # connections kept; a reader costs a page cache of 2 MB
POOL_OVERFLOW = 24  # above them under load; more threads than both wait
BEGIN = "tsugiki_begin"  # execution option: the statement a transaction begins with, READING unless it is given
READING = "BEGIN"
WRITING = "BEGIN IMMEDIATE"  # takes the write lock at once
NOTHING = ""  # a checkpoint is refused within a transaction
PRIMARY = 0xFF  # the low byte of an extended result code, https://www.sqlite.org/rescode.html


class SQLite:
    """The database is a file, made if it is new; its folder must exist."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self.engine = self.reader = _open_engine(path, busy_timeout_s)
        self.writer = self.reader.execution_options(**{BEGIN: WRITING})

    def writer_of(self, owner: str) -> None:
        """The file has one writer."""

    def tell(self, session: Session) -> None:
        """The file's number tells of every commit, and commits are one after another."""

    @contextmanager
    def commits(self) -> Generator[Callable[[], int]]:
        """Asked on a connection of its own: the number is of all the others."""
        # Within a transaction it would stand still.
        with self.reader.execution_options(**{BEGIN: NOTHING}).connect() as connection:
            yield lambda: connection.exec_driver_sql("PRAGMA data_version").scalar_one()

    def empty_log(self) -> bool:
        """Write the log back and cut it to nothing, so that erased bytes are in no file."""
        with self.reader.execution_options(**{BEGIN: NOTHING}).connect() as connection:
            patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {LOG_TIMEOUT_MS}")
            try:
                busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience}")
            return busy == 0

    def close(self) -> None:
        self.engine.dispose()

    def translated(self, error: DBAPIError) -> TsugikiError | None:
        orig = error.orig
        if not isinstance(orig, sqlite3.OperationalError | sqlite3.DatabaseError):
            return None
        match getattr(orig, "sqlite_errorcode", 0) & PRIMARY:
            case sqlite3.SQLITE_FULL:
                return StorageFull(
                    "The database has no room to grow.", fix="Free disk space; nothing has to be restarted."
                )
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return Unavailable("The database is locked by another process.")
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PROTOCOL:
                return Unavailable("The database file cannot be read or written.")
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return Unavailable("The database file is damaged.", fix="Restore it from a backup.")
            case _:
                return None


def _open_engine(path: Path, busy_timeout_s: float) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
        pool_size=POOL_SIZE,
        pool_use_lifo=True,  # the connection used last has read the pages that the next reader wants
        max_overflow=POOL_OVERFLOW,
        pool_timeout=busy_timeout_s,
        hide_parameters=True,  # an error is logged with its statement, and the values may be anybody's texts
        json_serializer=to_json,
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: sqlite3.Connection, record: object) -> None:
    # The driver would begin transactions of its own, late and deferred; without it `_begin` says when.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later cannot be made to wait: SQLite refuses the upgrade at once.
    if statement := connection.get_execution_options().get(BEGIN, READING):
        connection.exec_driver_sql(statement)
