"""Bring the tables to this release's: `python -m service.migrate`, once before its first process starts.

A service does it by itself at its start. Where several start together, this is the one that the others wait for.
"""

from __future__ import annotations

import logging

from service.logs import write_log
from service.settings import read_settings
from tsugiki.errors import TsugikiError
from tsugiki.storage.database import Database

log = logging.getLogger("tsugiki")


def main() -> None:
    settings = read_settings()
    write_log(settings.log_format)
    try:
        database = Database(settings.place)
        database.migrate()
        log.info("the tables are at revision %s", database.revision())
        database.close()
    except TsugikiError as error:
        raise SystemExit(f"tsugiki: {error.detail} {error.fix}") from None


if __name__ == "__main__":
    main()
