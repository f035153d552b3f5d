"""Rows and blobs in a folder, consistent while they are served; and back, whole or not at all.

The folder is the same wherever they are kept: what was an SQLite home may be restored into PostgreSQL and S3.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsugiki.errors import ArtifactCorrupt, Conflict, Invalid, Unavailable
from tsugiki.storage import FILE_NAME, restoring
from tsugiki.storage.blobs import CHUNK_BYTES, BlobName, Blobs
from tsugiki.storage.database import Database
from tsugiki.storage.local_files import sync
from tsugiki.storage.references import PROJECT, referenced_blobs
from tsugiki.storage.rows import has_rows, restore_rows, save_rows

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
    """What one holds. `damaged` were so in the store already: they are not in it."""

    blobs: int
    size_bytes: int
    damaged: tuple[BlobName, ...]


def back_up(place: Path | str, home: Path, blobs: Blobs, target: Path) -> Backup:
    """Into the folder `target`, which must not exist; it appears once all of it is on disk.

    First the rows at `place` as they are at one moment, then every file they name: a file is there before a row names
    it, and never changed. One that goes in between, as its row did, makes it begin again. Raises Conflict, Unavailable.
    """
    if target.exists():
        raise Conflict(f"{target} exists", fix="name a folder that does not")
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    try:
        for _ in range(ATTEMPTS):
            save_rows(place, unfinished)
            named = _named(unfinished)
            lost = [name for name in sorted(named) if not _copied(blobs, name, unfinished / BLOBS)]
            if not lost or _named(place).issuperset(lost):
                _finish(home, unfinished, named, lost)
                found = check(unfinished)
                unfinished.rename(target)
                sync(target.parent)
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


def restore(source: Path, place: Path | str, home: Path, blobs: Blobs) -> Backup:
    """To where nothing is yet, or only what a restore left that was killed: a mark, files, rows, and the mark goes.

    After `check`. One whose rows are there already has but to be looked through. Raises also Conflict, StorageFull.
    """
    begun = restoring.marked(blobs)
    if not begun and (has_rows(place) or blobs.owners() - {restoring.OWNER}):
        raise _used()
    found = check(source)
    names = [BlobName(*name) for name in _holds(source)["blobs"]]
    if begun and has_rows(place):
        if not all(blobs.has(*name) for name in names):
            raise _used()
        restoring.unmark(blobs)
        return found
    restoring.mark(blobs)
    _clear(blobs, [owner for owner in blobs.owners() if owner.startswith(PROJECT)] if begun else [])
    try:
        for name in names:
            if blobs.put_file(name.owner, _path(source / BLOBS, name)) != name.sha256:
                raise ArtifactCorrupt(f"{name.owner}/{name.sha256} changed while it was read.", fix="Begin again.")
        (home / GRAPHS).mkdir(parents=True, exist_ok=True, mode=0o700)
        for choice in source.glob(CHOICES):
            shutil.copyfile(choice, home / GRAPHS / choice.name)
        restore_rows(source, home, place)
    except BaseException:
        # Else they were committed, and only the news of it was lost; or they are somebody's who came in between.
        _clear(blobs, [] if has_rows(place) else {name.owner for name in names})
        restoring.unmark(blobs)
        raise
    restoring.unmark(blobs)
    return found


def _used() -> Conflict:
    fix = "Restore to where nothing is: an empty home, or bucket."
    return Conflict("There are rows or files already.", fix=fix)


def _clear(blobs: Blobs, owners: Collection[str]) -> None:
    for owner in owners:
        blobs.delete_owner(owner)


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
    for path in (*unfinished.rglob("*"), unfinished):
        sync(path)


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


def _named(place: Path | str) -> frozenset[BlobName]:
    with closing(Database(place)) as database:
        return referenced_blobs(database)


def _copied(blobs: Blobs, name: BlobName, folder: Path) -> bool:
    """False where it is there no more, or not as it was put."""
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
