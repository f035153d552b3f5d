"""Everything that is true of PostgreSQL only: how it connects, begins, tells of commits and fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import Connection as Driver
from psycopg import Error, connect
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from tsugiki.errors import StorageFull, TsugikiError, Unavailable
from tsugiki.storage.tables import to_json

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

SCHEMES = ("postgresql", "postgres")
DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_S = 5
POOL_SIZE = 4  # connections kept, of a server that has 100 in all unless told otherwise
POOL_OVERFLOW = 8  # above them under load; more threads than both wait
STATEMENT_TIMEOUT_S = 60  # far beyond the slowest, 10,000 samples; a lost one ends
IDLE_TIMEOUT_S = 30  # a process that hangs within a transaction keeps everybody from writing no longer than this
# A machine that vanished says nothing: both sides find out after 5 + 3 * 5 s.
KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}
KEEPALIVE_SERVER = {f"tcp_{name}": str(value) for name, value in KEEPALIVE.items()}
SERVER = {
    "synchronous_commit": "on",
    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT_S}s",
    **KEEPALIVE_SERVER,
}
SPACE = 0x7567  # the first half of our advisory locks' keys: others may use the same database
WRITING = 0  # the second half: who writes holds it
CHANNEL = "tsugiki"
POLL_S = 0.5  # a move must be seen within 1 s, also where no notification comes through
BEGIN = "tsugiki_begin"  # execution option: the statement a transaction begins with, nothing unless it is given
# Whoever waits has begun already, but sees what was committed until it has the lock: at this level each statement
# sees the newest state. One round trip takes the lock and tells, once it is committed, those who listen.
WRITE = f"SELECT pg_advisory_xact_lock({SPACE}, {WRITING}), pg_notify('{CHANNEL}', '')"
FULL = ("53100",)  # https://www.postgresql.org/docs/current/errcodes-appendix.html
BUSY = ("55P03", "40001", "40P01", "57014")
DAMAGED = ("XX001", "XX002")
AWAY = ("08", "53", "57P", "58", "25006", "25P03", "3D000", "28")  # by their beginnings; of a server that is restarted


class PostgreSQL:
    """A database of a server, at `url`. Reaches nothing yet."""

    def __init__(self, url: str, busy_timeout_s: float) -> None:
        self._url = url
        self.engine = create_engine(
            to_driver(url),
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S, **KEEPALIVE},
            pool_size=POOL_SIZE,
            pool_use_lifo=True,  # what load once needed falls idle, and is found closed by whoever comes next
            max_overflow=POOL_OVERFLOW,
            pool_timeout=busy_timeout_s,
            pool_pre_ping=True,  # after a restart of the server nobody is handed a dead connection
            hide_parameters=True,  # an error is logged with its statement, and the values may be anybody's texts
            json_serializer=to_json,
        )
        settings = SERVER | {"lock_timeout": f"{round(busy_timeout_s * 1000)}ms"}

        def configure(driver: Driver[TupleRow], record: object) -> None:
            for name, value in settings.items():
                driver.execute("SELECT set_config(%s, %s, false)", (name, value))
            driver.commit()

        event.listen(self.engine, "connect", configure)
        event.listen(self.engine, "begin", _begin)
        self.reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.writer = self.engine.execution_options(isolation_level="READ COMMITTED", **{BEGIN: WRITE})

    @contextmanager
    def commits(self) -> Generator[Callable[[], int]]:
        """By listening, and by time: each `POLL_S` somebody may have committed unheard."""
        try:
            with connect_alone(self._url) as driver:
                driver.execute(f"LISTEN {CHANNEL}")
                heard, began = 0, time.monotonic()

                def number() -> int:
                    nonlocal heard
                    driver.pgconn.consume_input()
                    while driver.pgconn.notifies() is not None:
                        heard += 1
                    return heard + int((time.monotonic() - began) / POLL_S)

                yield number
        except Error as error:
            raise Unavailable("The connection to the database was lost.") from error

    def empty_log(self) -> bool:
        """Nothing to do: what a server keeps of deleted rows, and how long, is its operator's to say."""
        return True

    def translated(self, error: DBAPIError) -> TsugikiError | None:
        orig = error.orig
        if not isinstance(orig, Error):
            return None
        code = orig.sqlstate
        if code is None:  # the driver's own words: no connection, or one that was lost
            lost = error.connection_invalidated or type(orig).__name__ in ("OperationalError", "InterfaceError")
            return Unavailable("The database cannot be reached.") if lost else None
        if code in FULL:
            return StorageFull("The database has no room to grow.", fix="Free disk space; nothing has to be restarted.")
        if code in BUSY:
            return Unavailable("The database is busy with other writes.")
        if code in DAMAGED:
            return Unavailable("The database is damaged.", fix="Restore it from a backup.")
        if code.startswith(AWAY):
            return Unavailable("The database cannot be reached.")
        _leave_out_values(error, orig)
        return None


def connect_alone(url: str) -> Driver[TupleRow]:
    """A connection of its own, of no pool, in which each statement commits. Raises what the driver raises."""
    plain = to_driver(url).set(drivername="postgresql").render_as_string(hide_password=False)
    driver = connect(make_conninfo(plain, connect_timeout=CONNECT_TIMEOUT_S, **KEEPALIVE), autocommit=True)
    for name, value in KEEPALIVE_SERVER.items():
        driver.execute("SELECT set_config(%s, %s, false)", (name, value))
    return driver


def to_driver(url: str) -> URL:
    """As SQLAlchemy takes it. Raises ValueError for what is no URL of PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("this is no URL") from None  # what SQLAlchemy says of it quotes it, password and all
    if parsed.drivername.partition("+")[0] not in SCHEMES:
        raise ValueError(f"expected a URL of scheme postgresql, not {parsed.drivername}")
    return parsed.set(drivername=DRIVER)


def _begin(connection: Connection) -> None:
    if statement := connection.get_execution_options().get(BEGIN):
        connection.exec_driver_sql(statement)


def _leave_out_values(error: DBAPIError, orig: Error) -> None:
    """The server quotes the values that broke a constraint, and they may be anybody's texts."""
    told = orig.diag.message_primary or ""
    error.args = (f"({type(orig).__module__}.{type(orig).__name__}) {told}",)
    orig.args = (told,)
