"""A home's database and blobs in a folder, consistent while it serves; and back, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsugiki.errors import ArtifactCorrupt, Conflict, Invalid, Unavailable
from tsugiki.storage.blobs import CHUNK_BYTES, BlobName, Blobs
from tsugiki.storage.database import FILE_NAME, Database
from tsugiki.storage.references import referenced_blobs

log = logging.getLogger(__name__)

FORMAT = 1
MANIFEST = "manifest.json"
BLOBS = "blobs"
CHOICES = "*.engine.json"  # beside the compiled graphs: which engine `auto` found, so which feature spaces are served
GRAPHS = "graphs"
ATTEMPTS = 10  # each copies only what is new since the one before
SHOWN = 10  # damaged files named in a refusal; the log has all


@dataclass(frozen=True, slots=True)
class Backup:
    """What one holds. `damaged` were so in the home already: they are not in it."""

    blobs: int
    size_bytes: int
    damaged: tuple[BlobName, ...]


def back_up(home: Path, blobs: Blobs, target: Path) -> Backup:
    """Into the folder `target`, which must not exist; it appears once all of it is on disk.

    First the database as it is at one moment, then every file its rows name: a file is there before a row names it, and
    never changed. One that goes in between, as its row did, makes it begin again. Raises Conflict, Unavailable.
    """
    if target.exists():
        raise Conflict(f"{target} exists", fix="name a folder that does not")
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    try:
        for _ in range(ATTEMPTS):
            copy_database(home / FILE_NAME, unfinished / FILE_NAME)
            named = _named(unfinished)
            lost = [name for name in sorted(named) if not _copied(blobs, name, unfinished / BLOBS)]
            if not lost or _named(home).issuperset(lost):
                _finish(home, unfinished, named, lost)
                found = check(unfinished)
                unfinished.rename(target)
                _sync([target.parent])
                return found
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    raise Unavailable("Samples and projects go faster than they can be copied.", fix="Try again when that is over.")


def check(source: Path) -> Backup:
    """That a backup is whole: its manifest, its database and each file, by sha256. Raises ArtifactCorrupt, Invalid."""
    holds = _holds(source)
    database = source / FILE_NAME
    if _sha256(database) != holds["database"]:
        raise ArtifactCorrupt(f"{database} is missing or damaged.", fix="Take another backup.")
    names = [BlobName(*name) for name in holds["blobs"]]
    wrong = [name for name in names if _sha256(_path(source / BLOBS, name)) != name.sha256]
    for name in wrong:
        log.error("%s is missing or damaged", _path(source / BLOBS, name))
    if wrong:
        told = ", ".join(f"{name.owner}/{name.sha256}" for name in wrong[:SHOWN])
        raise ArtifactCorrupt(f"{len(wrong)} files are missing or damaged: {told}.", fix="Take another backup.")
    size_bytes = sum(path.stat().st_size for path in (database, *(_path(source / BLOBS, name) for name in names)))
    return Backup(len(names), size_bytes, tuple(BlobName(*name) for name in holds["damaged"]))


def restore(source: Path, home: Path, blobs: Blobs) -> Backup:
    """Into an empty home, after `check`: files first, the database last. Raises also Conflict, StorageFull."""
    if (home / FILE_NAME).exists() or blobs.owners():
        raise Conflict(f"{home} is in use: it has a database or files", fix="restore into an empty home")
    found = check(source)
    for name in (BlobName(*name) for name in _holds(source)["blobs"]):
        if blobs.put_file(name.owner, _path(source / BLOBS, name)) != name.sha256:
            raise ArtifactCorrupt(f"{name.owner}/{name.sha256} changed while it was read.", fix="Begin again.")
    (home / GRAPHS).mkdir(parents=True, exist_ok=True, mode=0o700)
    for choice in source.glob(CHOICES):
        shutil.copyfile(choice, home / GRAPHS / choice.name)
    part = home / f"{FILE_NAME}.part"
    shutil.copyfile(source / FILE_NAME, part)
    part.chmod(0o600)
    _sync([part])
    part.replace(home / FILE_NAME)
    _sync([home])
    return found


def copy_database(source: Path, target: Path) -> None:
    """As it is at one moment, whoever writes. Raises Unavailable where there is none, ArtifactCorrupt."""
    target.unlink(missing_ok=True)
    if not source.is_file():
        raise Unavailable(f"{source} is missing.", fix="Name the home of a service: TSUGIKI_HOME.")
    damaged = ArtifactCorrupt("The database is damaged.", fix="Restore it from a backup.")
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)  # in one step: a transaction that reads, and keeps no writer waiting
            found = copy.execute("PRAGMA integrity_check").fetchall()
    except sqlite3.OperationalError as error:
        raise Unavailable(f"The database cannot be copied: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise damaged from error
    target.chmod(0o600)
    if found != [("ok",)]:
        raise damaged


def _finish(home: Path, unfinished: Path, named: Collection[BlobName], lost: Collection[BlobName]) -> None:
    """What makes a copied database and its files a backup; files that only a former attempt named go."""
    kept = sorted(set(named) - set(lost))
    wanted = {_path(unfinished / BLOBS, name) for name in kept}
    for path in [path for path in (unfinished / BLOBS).rglob("*") if path.is_file()]:
        if path not in wanted:
            path.unlink()
    for choice in (home / GRAPHS).glob(CHOICES):
        shutil.copyfile(choice, unfinished / choice.name)
    holds = {"database": _sha256(unfinished / FILE_NAME), "blobs": kept, "damaged": sorted(lost)}
    manifest = {"format": FORMAT, "sha256": _digest_of(holds), "holds": holds}
    (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    _sync([*unfinished.rglob("*"), unfinished])


def _holds(source: Path) -> dict[str, Any]:  # Any: JSON
    try:
        manifest = json.loads((source / MANIFEST).read_bytes())
    except (OSError, ValueError):
        raise Invalid(f"{source} is no backup: it has no {MANIFEST} that can be read") from None
    if manifest.get("format") != FORMAT:
        raise Invalid(f"the backup has format {manifest.get('format')!r}, this code reads {FORMAT}")
    if _digest_of(manifest.get("holds")) != manifest.get("sha256"):
        raise ArtifactCorrupt(f"{source / MANIFEST} is damaged.", fix="Take another backup.")
    return manifest["holds"]


def _digest_of(holds: object) -> str:
    return hashlib.sha256(json.dumps(holds, sort_keys=True).encode()).hexdigest()


def _named(folder: Path) -> frozenset[BlobName]:
    database = Database(folder)
    try:
        return referenced_blobs(database)
    finally:
        database.close()


def _copied(blobs: Blobs, name: BlobName, folder: Path) -> bool:
    """False where the home has it no more, or not as it was put."""
    path = _path(folder, name)
    if path.exists():
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        chunks = blobs.open(name.owner, name.sha256)
        with path.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
    except ArtifactCorrupt:
        path.unlink(missing_ok=True)
        return False
    return True


def _path(folder: Path, name: BlobName) -> Path:
    return folder / name.owner / name.sha256[:2] / name.sha256


def _sha256(path: Path) -> str | None:
    """None where there is no such file."""
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(paths: Iterable[Path]) -> None:
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
