"""`python -m service backup FOLDER` and `… restore FOLDER`: of the home that the settings name."""

from __future__ import annotations

import sys
from pathlib import Path

from service.parts import blobs_of
from service.settings import Settings
from tsugiki.errors import TsugikiError
from tsugiki.storage.backup import Backup, back_up, restore


def save(settings: Settings, target: Path) -> None:
    """Beside a running service or without one. Exit status 1 where some files of the home were damaged already."""
    _of_a_file(settings)
    try:
        found = back_up(settings.root, blobs_of(settings), target.absolute())
    except TsugikiError as error:
        raise SystemExit(f"tsugiki: no backup: {error.detail} {error.fix}") from None
    _tell(f"{target} holds", found)
    if found.damaged:
        raise SystemExit(1)


def bring_back(settings: Settings, source: Path) -> None:
    """Into a home that has nothing yet; no service may run on it."""
    _of_a_file(settings)
    try:
        found = restore(source.absolute(), settings.root, blobs_of(settings))
    except TsugikiError as error:
        raise SystemExit(f"tsugiki: nothing restored: {error.detail} {error.fix}") from None
    _tell(f"{settings.root} has", found)


def _of_a_file(settings: Settings) -> None:
    """Raises SystemExit where the rows are a server's: a copy of the home alone would hold none of them."""
    if settings.database_url is not None:
        raise SystemExit(
            "tsugiki: TSUGIKI_DATABASE_URL names a server: pg_dump keeps its rows, blobs are copied after it"
        )


def _tell(where: str, found: Backup) -> None:
    sys.stderr.write(
        f"tsugiki: {where} the database and {found.blobs} files, {found.size_bytes:,} bytes, all checked\n"
    )
    for name in found.damaged:
        sys.stderr.write(f"tsugiki: {name.owner}/{name.sha256} was missing or damaged in the home and is left out\n")
