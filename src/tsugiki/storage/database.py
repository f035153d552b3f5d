"""The database: transactions, the clock, ids, and one border where its failures become ours."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import ExceptionContext, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from tsugiki.errors import TsugikiError, Unavailable
from tsugiki.storage import FILE_NAME
from tsugiki.storage.clock import Clock, utc_now
from tsugiki.storage.ids import Ids
from tsugiki.storage.sqlite import SQLite

if TYPE_CHECKING:
    from alembic.config import Config

    from tsugiki.storage.dialect import Dialect

MIGRATIONS = Path(__file__).parent / "migrations"
ABREAST = 6  # owners' writes of one process at a time: each has a connection, and readers need some
BUSY_TIMEOUT_S = 5.0  # reliability: a writer waits so long for another one before it is told "unavailable"


class Database:
    """Rows that survive kill -9 once `write` returned. One per process; thread-safe.

    `place` is the folder of an SQLite file, or the URL of a PostgreSQL database.

    `read` and `write` yield a session in one transaction; a `write` commits when its block ends and undoes
    everything when it raises. They raise StorageFull and Unavailable besides what the block raises.

    Writes are one at a time, of all processes, but for those that say `of` whom they are: what is read to decide, and
    what is changed, must be one owner's then. They take turns with those of the same owner and with all that do not
    say it. An owner is a project, for its samples, versions, aliases and which exports it has; a tenant, for its kept
    replies; an adaptation, or an export, for how far it is. What of these rows another write changes is changed by one
    without `of`, with two exceptions. Publishing ends an adaptation, and is its project's: so who changes one locks its
    row. What was made under an idempotency key is told by who makes it, while the request has the key for itself.
    `shared` says that other processes remember what they read, and have to be told what changes.
    """

    def __init__(
        self,
        place: Path | str,
        now: Clock = utc_now,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        *,
        shared: bool = False,
    ) -> None:
        self.shared = shared
        self.now = now
        self.ids = Ids(now)
        self._dialect = _dialect(place, busy_timeout_s)
        self._reader, self._writer = self._dialect.reader, self._dialect.writer
        self._busy_timeout_s = busy_timeout_s
        # Threads of this process queue here: SQLite's own waiting polls, and lets the unlucky starve; on PostgreSQL
        # each that waits would hold a connection.
        self._turn = Lock()
        self._turns = tuple(Lock() for _ in range(ABREAST))

    @contextmanager
    def read(self) -> Generator[Session]:
        with self._told_as_ours(), Session(self._reader) as session:
            yield session

    @contextmanager
    def write(self, of: str | None = None) -> Generator[Session]:
        owned = None if of is None else self._dialect.writer_of(of)
        turn = self._turn if owned is None else self._turns[hash(of) % ABREAST]
        with (
            self._turn_taken(turn),
            self._told_as_ours(),
            Session(owned or self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def tell(self, session: Session) -> None:
        """Last in a transaction: those who listen (`commits`) are told of it, once it is committed, as soon as may be.

        Rows that are numbered after this are committed in the order of their numbers.
        """
        self._dialect.tell(session)

    def migrate(self) -> None:
        """Bring the tables to this code's revision. Raises Unavailable if the database is of a newer one."""
        from alembic import command

        with self._told_as_ours(), self._writer.begin() as connection:
            self.check()
            self._alembic.attributes["connection"] = connection
            command.upgrade(self._alembic, "head")

    def check(self) -> None:
        """Raises Unavailable if the database cannot be reached, or is of a newer revision than this code's."""
        from alembic.script import ScriptDirectory

        script = ScriptDirectory.from_config(self._alembic)
        known = {revision.revision for revision in script.walk_revisions()}
        found = self.revision()
        if found is not None and found not in known:
            raise Unavailable(
                f"The database is at revision {found}; this code knows up to {script.get_current_head()}.",
                fix="Run the release which wrote the database, or a newer one.",
                code="database_too_new",
            )

    def revision(self) -> str | None:
        """The revision the tables are at; None before the first migration."""
        from alembic.migration import MigrationContext

        with self._told_as_ours(), self._reader.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    @contextmanager
    def commits(self) -> Generator[Callable[[], int]]:
        """A number that is another one after each commit of anybody's, to be asked for by one thread.

        It is so at once after one that was told of (`tell`), else perhaps later. Asking costs next to nothing. Raises
        Unavailable.
        """
        with self._told_as_ours(), self._dialect.commits() as number:
            yield number

    def empty_log(self) -> bool:
        """Remove erased bytes from the write-ahead log. False while a long read still needs it: call again.

        Raises Unavailable, StorageFull.
        """
        with self._turn_taken(self._turn), self._told_as_ours():
            return self._dialect.empty_log()

    def watch_failures(self, told: Callable[[], None]) -> None:
        """`told` is called for each statement that failed for the database's sake: away, locked, full, damaged."""

        def hear(context: ExceptionContext) -> None:
            if isinstance(context.sqlalchemy_exception, OperationalError | InterfaceError):
                told()

        event.listen(self._dialect.engine, "handle_error", hear)

    def close(self) -> None:
        self._dialect.close()

    @contextmanager
    def _turn_taken(self, turn: Lock) -> Generator[None]:
        if not turn.acquire(timeout=self._busy_timeout_s):
            raise Unavailable("The database is busy with other writes.")
        try:
            yield
        finally:
            turn.release()

    @contextmanager
    def _told_as_ours(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            ours = self._dialect.translated(error)
            if ours is None:
                raise
            raise ours from error
        except StatementError as error:
            if isinstance(error.orig, TsugikiError):  # a value that was refused before any database saw it
                raise error.orig from None
            raise
        except PoolTimeout as error:
            raise Unavailable("Every connection to the database is in use.") from error

    @cached_property
    def _alembic(self) -> Config:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        return config


def _dialect(place: Path | str, busy_timeout_s: float) -> Dialect:
    if isinstance(place, Path):
        place.mkdir(parents=True, exist_ok=True)
        return SQLite(place / FILE_NAME, busy_timeout_s)
    from tsugiki.storage.postgres import PostgreSQL

    return PostgreSQL(place, busy_timeout_s)
