"""What is kept elsewhere is tried before anything starts: a wrong URL is told with its key, its value and the fix."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tsugiki.errors import TsugikiError
from tsugiki.storage import FILE_NAME

if TYPE_CHECKING:
    from service.settings import Settings

PASSWORD = re.compile(r"(?<=://)([^/@]*:)?[^/@]*(?=@)")
IN_QUERY = re.compile(r"(?<=[?&]password=)[^&]*")
DATABASE, BLOBS = "TSUGIKI_DATABASE_URL", "TSUGIKI_BLOBS_URL"
DATABASE_FIX = (
    "expected postgresql://user:password@host:port/database of a server that runs, with a database that exists; "
    "without it SQLite keeps everything in TSUGIKI_HOME"
)


def reach(settings: Settings) -> None:
    """Raises SystemExit where the database or the blobs cannot be had, or the database is a newer release's."""
    _reach_database(settings)
    if settings.blobs_url is not None:
        from tsugiki.storage.remote_files import RemoteFiles

        try:
            RemoteFiles(settings.blobs_url).reach()
        except TsugikiError as error:
            raise _refused(BLOBS, shown(settings.blobs_url), f"{error.detail} {error.fix}") from None


def refuse_half_restored(settings: Settings) -> None:
    """Raises SystemExit where a restore was killed: some of its files may be there, and no rows."""
    from service.blobs import blobs_of
    from tsugiki.storage.restoring import marked

    if marked(blobs_of(settings)):
        raise SystemExit(
            "tsugiki: a restore has not ended here: run it again (python -m service restore FOLDER), "
            "it clears away by itself what it had begun"
        )


def shown(url: str) -> str:
    """`postgresql://me:secret@host/db` -> `postgresql://me:***@host/db`"""
    if "://" not in url:
        return "(hidden)"  # whatever it is, a password may be anywhere in it
    return IN_QUERY.sub("***", PASSWORD.sub(lambda found: f"{found[1] or ''}***", url))


def _reach_database(settings: Settings) -> None:
    if settings.database_url is None:
        if not (settings.root / FILE_NAME).exists():
            return
        key, value = "TSUGIKI_HOME", str(settings.root)
    else:
        key, value = DATABASE, shown(settings.database_url.get_secret_value())
    from tsugiki.storage.database import Database  # of some weight, and a first start has nothing to reach

    try:
        database = Database(settings.place)
    except ValueError as error:  # also what SQLAlchemy cannot read as a URL
        raise _refused(key, value, f"{error}; {DATABASE_FIX}") from None
    try:
        database.check()
    except TsugikiError as error:
        fix = error.fix or DATABASE_FIX
        raise _refused(key, value, f"{error.detail} {_why(error)}{fix}") from None
    finally:
        database.close()


def _why(error: TsugikiError) -> str:
    """What the driver says of it, on one line: of a host, a port, a user and a database, never of a password."""
    cause = getattr(error.__cause__, "orig", None)
    return "" if cause is None else " ".join(str(cause).split()) + "; "


def _refused(key: str, value: str, why: str) -> SystemExit:
    return SystemExit(f"tsugiki: {key}={value}: {why}")
