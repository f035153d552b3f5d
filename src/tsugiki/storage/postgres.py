"""Everything that is true of PostgreSQL only: how it connects, begins, tells of commits and fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

from psycopg import Connection as Driver
from psycopg import Error, InterfaceError, OperationalError
from psycopg.conninfo import make_conninfo
from psycopg.errors import ConnectionTimeout
from psycopg.rows import TupleRow
from psycopg.waiting import Ready
from sqlalchemy import Connection, Dialect, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from tsugiki.errors import StorageFull, TsugikiError, Unavailable
from tsugiki.storage.silence import Silence
from tsugiki.storage.tables import to_json

if TYPE_CHECKING:
    from psycopg.abc import RV, PQGen
    from sqlalchemy.engine import URL
    from sqlalchemy.orm import Session
    from sqlalchemy.pool import ConnectionPoolEntry

SCHEMES = ("postgresql", "postgres")
DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_S = 5
POOL_SIZE = 4  # connections kept, of a server that has 100 in all unless told otherwise
POOL_OVERFLOW = 8  # above them under load; more threads than both wait
STATEMENT_TIMEOUT_S = 60  # far beyond the slowest, 10,000 samples; a lost one ends
# The server's own limits end nothing where it says nothing at all: it hangs, or what lies between swallows everything.
# That is found out for all at once (`Silence`). These are for a connection that is lost while others are answered.
ANSWER_S = 10.0  # to a statement of a read, or to the one that waits for a writer's turn
PING_S = 3.0  # to the question whether a connection that was kept still stands
WAIT_INTERVAL_S = 0.1  # the driver's own: how soon it heeds a signal
IDLE_TIMEOUT_S = 30  # a process that hangs within a transaction keeps everybody from writing no longer than this
# A machine that vanished says nothing: both sides find out after 5 + 3 * 3 s.
KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3}
UNHEARD = {"tcp_user_timeout": 14_000}  # ms; keepalives are silent while something that was sent is not yet received
KEEPALIVE_SERVER = {f"tcp_{name}": str(value) for name, value in KEEPALIVE.items()}
SERVER = {
    "synchronous_commit": "on",
    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT_S}s",
    **KEEPALIVE_SERVER,
}
SPACE = 0x7567  # the first half of our advisory locks' keys: others may use the same database
WRITING = 0  # the second half: who writes holds it, alone or, where only something of one owner's is written, shared
TELLING = 1  # who writes what others are told of holds it from then on: they are told in the order of commits
OWNED = 0x756A  # the first half of the keys that are owners'
CHANNEL = "tsugiki"
POLL_S = 0.5  # a move must be seen within 1 s, also where no notification comes through
BEGIN = "tsugiki_begin"  # execution option: the statement a transaction begins with, nothing unless it is given
# Whoever waits has begun already, but sees what was committed until it has the lock: at this level each statement
# sees the newest state.
WRITE = f"SELECT pg_advisory_xact_lock({SPACE}, {WRITING})"
# In this order, and what tells comes last: nobody who holds a later one waits for an earlier one.
WRITE_OWNED = f"SELECT pg_advisory_xact_lock_shared({SPACE}, {WRITING}), pg_advisory_xact_lock({OWNED}, %d)"
TELL = f"SELECT pg_advisory_xact_lock({SPACE}, {TELLING}), pg_notify('{CHANNEL}', '')"
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
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S, **KEEPALIVE, **UNHEARD},
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

        self._silence = Silence("the database", partial(_answers, url))
        event.listen(self.engine, "do_connect", partial(_connect, self._silence))
        event.listen(self.engine, "connect", configure)
        event.listen(self.engine, "checkin", _keep)
        event.listen(self.engine, "begin", _begin)
        self.reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._plain = self.engine.execution_options(isolation_level="READ COMMITTED")
        self.writer = self._plain.execution_options(**{BEGIN: WRITE})

    def writer_of(self, owner: str) -> Engine:
        """Two owners of one number wait for each other, which is all."""
        number = crc32(owner.encode()) - (1 << 31)  # a key is signed
        return self._plain.execution_options(**{BEGIN: WRITE_OWNED % number})

    def tell(self, session: Session) -> None:
        """Those who tell commit one after another, which notifications would make them do anyway."""
        session.flush()
        session.execute(text(TELL))

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

    def close(self) -> None:
        self._silence.close()
        self.engine.dispose()

    def translated(self, error: DBAPIError) -> TsugikiError | None:
        orig = error.orig
        if not isinstance(orig, Error):
            return None
        code = orig.sqlstate
        if code is None:  # the driver's own words: no connection, or one that was lost
            lost = error.connection_invalidated or isinstance(orig, OperationalError | InterfaceError)
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


class Impatient(Driver[TupleRow]):
    """A connection that ends once the server has not answered for `patience_s`: OperationalError is raised.

    Sooner where it is known that the server answers nobody (`silence`).
    """

    patience_s = ANSWER_S
    silence: Silence | None = None

    def wait(self, gen: PQGen[RV], interval: float = WAIT_INTERVAL_S, timeout: float | None = None) -> RV:
        heeding = gen if self.silence is None else _heeding(self.silence, gen)
        try:
            return super().wait(heeding, interval, timeout or self.patience_s)
        except OperationalError:
            self.pgconn.finish()  # what it may still say would be taken for an answer to the next statement
            raise


def connect_alone(url: str, patience_s: float = ANSWER_S) -> Driver[TupleRow]:
    """A connection of its own, of no pool, in which each statement commits. Raises what the driver raises."""
    plain = to_driver(url).set(drivername="postgresql").render_as_string(hide_password=False)
    settings = {"connect_timeout": CONNECT_TIMEOUT_S, **KEEPALIVE, **UNHEARD}
    driver = Impatient.connect(make_conninfo(plain, **settings), autocommit=True)
    driver.patience_s = patience_s
    for name, value in KEEPALIVE_SERVER.items():
        driver.execute("SELECT set_config(%s, %s, false)", (name, value))
    return driver


def _answers(url: str) -> bool:
    try:
        connect_alone(url).close()
    except ConnectionTimeout:
        return False
    except Error:
        pass  # it is away, restarted or full: then everybody is told so at once
    return True


def noticing_loss(url: str) -> str:
    """The same for whoever connects by itself: such a connection ends soon after the other side vanished."""
    return (
        make_url(url).update_query_dict({k: str(v) for k, v in (KEEPALIVE | UNHEARD).items()}).render_as_string(False)
    )


def to_driver(url: str) -> URL:
    """As SQLAlchemy takes it. Raises ValueError for what is no URL of PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("this is no URL") from None  # what SQLAlchemy says of it quotes it, password and all
    if parsed.drivername.partition("+")[0] not in SCHEMES:
        raise ValueError(f"expected a URL of scheme postgresql, not {parsed.drivername}")
    return parsed.set(drivername=DRIVER)


def _connect(
    silence: Silence, dialect: Dialect, record: ConnectionPoolEntry, given: list[str], named: dict[str, Any]
) -> Impatient:
    """Instead of SQLAlchemy. Any: what a driver takes."""
    if silence.found():
        raise _unheard()
    began = time.monotonic()
    try:
        driver = Impatient.connect(*given, **named)
    except ConnectionTimeout:
        silence.unanswered(began)
        raise
    silence.heard()
    driver.silence = silence
    return driver


def _heeding(silence: Silence, gen: PQGen[RV]) -> PQGen[RV]:
    """The same, but that it ends once the server is known to be silent; what it waits for is what is suspected."""
    try:
        wanted = next(gen)
        while True:
            if silence.known:
                raise _unheard()
            ready = yield wanted
            if ready & Ready.R:
                silence.heard()
            elif ready == Ready.NONE:  # after each `WAIT_INTERVAL_S`
                silence.suspect()
            wanted = gen.send(ready)
    except StopIteration as ended:
        return ended.value


def _unheard() -> OperationalError:
    return OperationalError("the server says nothing")


def _keep(driver: Impatient | None, record: ConnectionPoolEntry) -> None:
    """What is said next is whether it still stands."""
    if driver is not None:
        driver.patience_s = PING_S


def _begin(connection: Connection) -> None:
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, Impatient)
    driver.patience_s = ANSWER_S
    if statement := connection.get_execution_options().get(BEGIN):
        connection.exec_driver_sql(statement)
        driver.patience_s = STATEMENT_TIMEOUT_S + ANSWER_S  # deleting all of a project takes as long as it takes


def _leave_out_values(error: DBAPIError, orig: Error) -> None:
    """The server quotes the values that broke a constraint, and they may be anybody's texts."""
    told = orig.diag.message_primary or ""
    error.args = (f"({type(orig).__module__}.{type(orig).__name__}) {told}",)
    orig.args = (told,)
