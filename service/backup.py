"""`python -m service backup FOLDER` and `… restore FOLDER`: of the rows and blobs that the settings name."""

from __future__ import annotations

import sys
from pathlib import Path

from service.blobs import blobs_of
from service.settings import Settings
from tsugiki.errors import TsugikiError
from tsugiki.storage.backup import Backup, back_up, restore


def save(settings: Settings, target: Path) -> None:
    """Beside running services or without any. Exit status 1 where some files were damaged already."""
    try:
        found = back_up(settings.place, settings.root, blobs_of(settings), target.absolute())
    except TsugikiError as error:
        raise SystemExit(f"tsugiki: no backup: {error.detail} {error.fix}") from None
    _tell(f"{target} holds", found)
    if found.damaged:
        raise SystemExit(1)


def bring_back(settings: Settings, source: Path) -> None:
    """To where nothing is yet; no service may run there."""
    try:
        found = restore(source.absolute(), settings.place, settings.root, blobs_of(settings))
    except TsugikiError as error:
        raise SystemExit(f"tsugiki: nothing restored: {error.detail} {error.fix}") from None
    _tell("restored:", found)


def _tell(where: str, found: Backup) -> None:
    sys.stderr.write(
        f"tsugiki: {where} the database and {found.blobs} files, {found.size_bytes:,} bytes, all checked\n"
    )
    for name in found.damaged:
        sys.stderr.write(f"tsugiki: {name.owner}/{name.sha256} was missing or damaged before and is left out\n")
