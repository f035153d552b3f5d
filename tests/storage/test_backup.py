"""A backup is of one moment, also where files go while it is taken; what is not whole is refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.storage.making import Stores
from tsugiki.domain import Project, Version
from tsugiki.errors import ArtifactCorrupt, Conflict, TsugikiError
from tsugiki.storage.backup import BLOBS, MANIFEST, back_up, check, restore
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import FILE_NAME, Database
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.references import referenced_blobs


class Meanwhile(LocalFiles):
    """Calls `happens` before the first file is read."""

    def __init__(self, root: Path, happens: Callable[[], object]) -> None:
        super().__init__(root)
        self._happens: Callable[[], object] | None = happens

    def read(self, path: str) -> BinaryIO:
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return super().read(path)


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path, migrated: Path) -> Path:
    """Of SQLite: a server has backups of its own."""
    return Path(shutil.copy(migrated, tmp_path / FILE_NAME)).parent


@pytest.fixture
def published(stores: Stores) -> tuple[Project, Version]:
    project = stores.project()
    return project, stores.publish(project)


def test_what_goes_while_it_is_copied_is_in_neither_rows_nor_files(
    stores: Stores, tmp_path: Path, published: tuple[Project, Version]
) -> None:
    kept, gone = stores.project("kept"), published[0]
    stores.publish(kept, fill=2)
    erasing = Meanwhile(stores.home / "blobs", lambda: stores.projects.delete(gone))
    taken = back_up(stores.home, Blobs(erasing), tmp_path / "taken")
    assert taken.damaged == () and taken.blobs == 2
    assert {name.partition("/")[0] for name in files_of(tmp_path / "taken" / BLOBS)} == {kept.id}
    home = tmp_path / "again"
    restore(tmp_path / "taken", home, Blobs(LocalFiles(home / "blobs")))
    database = Database(home)
    assert {name.owner for name in referenced_blobs(database)} == {kept.id}
    database.close()
    with pytest.raises(Conflict, match="in use"):
        restore(tmp_path / "taken", home, Blobs(LocalFiles(home / "blobs")))


def test_a_file_that_was_damaged_before_is_named_and_the_rest_kept(
    stores: Stores, tmp_path: Path, published: tuple[Project, Version]
) -> None:
    project, version = published
    (stores.home / "blobs" / project.id / version.digest[:2] / version.digest).write_bytes(b"changed")
    taken = back_up(stores.home, stores.blobs, tmp_path / "taken")
    assert [name.sha256 for name in taken.damaged] == [version.digest] and taken.blobs == 1
    assert not (tmp_path / "taken.unfinished").exists()
    with pytest.raises(Conflict, match="exists"):
        back_up(stores.home, stores.blobs, tmp_path / "taken")


@pytest.mark.usefixtures("published")
def test_a_flipped_byte_is_refused_by_name_and_nothing_restored(stores: Stores, tmp_path: Path) -> None:
    taken, home = tmp_path / "taken", tmp_path / "again"
    back_up(stores.home, stores.blobs, taken)
    assert check(taken).blobs == 2
    blob = next(iter(sorted(files_of(taken / BLOBS))))
    for name, told in ((FILE_NAME, FILE_NAME), (MANIFEST, MANIFEST), (f"{BLOBS}/{blob}", blob.rpartition("/")[2])):
        whole = (taken / name).read_bytes()
        (taken / name).write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        with pytest.raises(TsugikiError, match=told):
            restore(taken, home, Blobs(LocalFiles(home / "blobs")))
        (taken / name).unlink()
        with pytest.raises(TsugikiError, match=told):
            restore(taken, home, Blobs(LocalFiles(home / "blobs")))
        assert files_of(home) == set()
        (taken / name).write_bytes(whole)
    restore(taken, home, Blobs(LocalFiles(home / "blobs")))
    assert files_of(home / "blobs") == files_of(taken / BLOBS)


def test_a_damaged_database_is_not_taken_for_a_backup(stores: Stores, tmp_path: Path) -> None:
    stores.database.close()
    path = stores.home / FILE_NAME
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 4_096)
    with pytest.raises(ArtifactCorrupt, match="damaged"):
        back_up(stores.home, stores.blobs, tmp_path / "taken")
    assert not (tmp_path / "taken").exists()
