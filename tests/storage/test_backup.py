"""A backup is of one moment, also where files go while it is taken; what is not whole is refused by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.postgres import Server
from tests.s3 import Server as S3Server
from tests.storage.making import Place, Stores, file_sample, open_stores, sample
from tsugiki.domain import Fix, Project, Version
from tsugiki.errors import ArtifactCorrupt, Conflict, Invalid, TsugikiError, Unavailable
from tsugiki.storage import FILE_NAME, rows
from tsugiki.storage.backup import BLOBS, MANIFEST, back_up, check, restore
from tsugiki.storage.blobs import Blobs, Files
from tsugiki.storage.database import Database
from tsugiki.storage.exports import Exports
from tsugiki.storage.features import Features
from tsugiki.storage.idempotency import Idempotency
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.references import referenced_blobs
from tsugiki.storage.remote_files import RemoteFiles
from tsugiki.storage.tables import Base

KINDS = ("sqlite", "postgres")


class Make(Protocol):
    def __call__(self, kind: str, template: str = "template1") -> Kept: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """Where rows and files are, or may come to be."""

    home: Path
    place: Place
    files: Files

    @contextmanager
    def open(self) -> Generator[Stores]:
        stores = open_stores(self.home, self.place, shared=True, files=self.files)
        with closing(stores.database):
            yield stores


class Meanwhile(Blobs):
    """Calls `happens` before the first file is read."""

    def __init__(self, files: Files, happens: Callable[[], object]) -> None:
        super().__init__(files)
        self._happens: Callable[[], object] | None = happens

    def open(self, owner: str, sha256: str) -> Iterator[bytes]:
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return super().open(owner, sha256)


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def rows_of(database: Database) -> dict[str, list[Any]]:
    with database.read() as session:
        return {
            table.name: sorted(session.execute(select(table)).all(), key=repr) for table in Base.metadata.sorted_tables
        }


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Make]:
    """By kind and template: SQLite and local files, or PostgreSQL and S3."""
    with ExitStack() as stack:

        def make(kind: str, template: str = "template1") -> Kept:
            home = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
            home.mkdir()
            if kind == "sqlite":
                return Kept(home, home, LocalFiles(home / "blobs"))
            postgres: Server = request.getfixturevalue("postgres")
            s3: S3Server = request.getfixturevalue("s3")
            url = stack.enter_context(postgres.database(template))
            return Kept(home, url, RemoteFiles(f"s3://{s3.bucket()}/folder"))

        yield make


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, make: Make) -> Kept:
    """With tables."""
    if request.param == "postgres":
        return make("postgres", request.getfixturevalue("template"))
    made = make("sqlite")
    shutil.copy(request.getfixturevalue("migrated"), made.home / FILE_NAME)
    return made


@pytest.fixture
def stores(kept: Kept) -> Generator[Stores]:
    with kept.open() as stores:
        yield stores


@pytest.fixture
def published(stores: Stores) -> tuple[Project, Version]:
    project = stores.project()
    return project, stores.publish(project)


def fill(stores: Stores, project: Project) -> None:
    """Something in every table, and of every type of column."""
    stores.samples.add(project.id, [sample("words \U0001f600 'quoted'\\", "a"), sample("unlabelled")])
    (first, _), pictures = stores.samples.list(project.id).data, stores.project("pictures", modality="image")
    stores.samples.add(pictures.id, [file_sample(b"a picture", "b")])
    Features(stores.database).save(project.id, "fsp_tiny", [first.id], np.ones((1, 4), np.float32))
    stores.samples.fix(project.id, [Fix(first.id, "keep", codes=("outlier",))], "somebody")
    stores.publish(project, expected=1, fill=2)
    stores.registry.rollback(project.id, "live", "somebody")
    exports = Exports(stores.database, stores.blobs)
    export = exports.create(project.id, 1, "fp32")
    exports.start(export.id)
    exports.finish(export.id, 8, stores.blobs.put(project.id, b"exported"), {"equal": True}, {"p50_ms": 0.1})
    stores.tenants.issue_key(project.tenant_id, "laptop", ("predict",))
    replies = Idempotency(stores.database)
    replies.begin(project.tenant_id, "once", "request")
    replies.finish(project.tenant_id, "once", 201, "application/json", b"{\x00\xff}", project.id)


def test_what_goes_while_it_is_copied_is_in_neither_rows_nor_files(
    kept: Kept, stores: Stores, make: Make, tmp_path: Path, published: tuple[Project, Version]
) -> None:
    remaining, gone = stores.project("kept"), published[0]
    stores.publish(remaining, fill=2)
    erasing = Meanwhile(kept.files, lambda: stores.projects.delete(gone))
    taken = back_up(kept.place, kept.home, erasing, tmp_path / "taken")
    assert taken.damaged == () and taken.blobs == 2
    assert {name.partition("/")[0] for name in files_of(tmp_path / "taken" / BLOBS)} == {remaining.id}
    again = make("sqlite")
    restore(tmp_path / "taken", again.place, again.home, Blobs(again.files))
    with again.open() as restored:
        assert {name.owner for name in referenced_blobs(restored.database)} == {remaining.id}
    with pytest.raises(Conflict, match="already"):
        restore(tmp_path / "taken", again.place, again.home, Blobs(again.files))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_kept_in_one_place_goes_on_in_another(
    kind: str, kept: Kept, stores: Stores, make: Make, tmp_path: Path, published: tuple[Project, Version]
) -> None:
    project, _ = published
    fill(stores, project)
    before = rows_of(stores.database)
    assert [name for name, found in before.items() if not found] == []
    taken, other = tmp_path / "taken", make(kind)
    saved = back_up(kept.place, kept.home, stores.blobs, taken)
    assert saved.damaged == () and saved.blobs == 5
    assert restore(taken, other.place, other.home, Blobs(other.files)) == saved
    with other.open() as restored:
        assert rows_of(restored.database) == before
        named = referenced_blobs(restored.database)
        assert all(restored.blobs.has(*name) for name in named) and restored.blobs.owners() == stores.blobs.owners()
        assert restored.publish(project, expected=1, fill=3).number == 3
        moves = restored.registry.history(project.id, "live").data
        assert (len(moves), max(moves, key=lambda move: move.at).to_version) == (4, 3)
        with pytest.raises(Conflict, match="already"):
            restore(taken, other.place, other.home, Blobs(other.files))
    with stores.database.read():
        assert rows_of(stores.database) == before


class Unsteady(Database):
    """Each statement of a read sees what was committed before it."""

    @contextmanager
    def read(self) -> Generator[Session]:
        with Session(self._dialect.engine) as session:
            yield session


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
@pytest.mark.parametrize("broken", [False, True])
def test_rows_are_of_one_moment_whoever_writes(
    broken: bool,
    kept: Kept,
    stores: Stores,
    tmp_path: Path,
    published: tuple[Project, Version],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A version that is published between reading the adaptations and reading the versions is in neither."""
    project, _ = published
    left = iter([2.0])

    def publish(_: Any, __: Any, statement: str, *rest: object) -> None:
        if "FROM versions" in statement and (fill := next(left, None)) is not None:
            stores.publish(project, expected=1, fill=fill)

    event.listen(Engine, "before_cursor_execute", publish)
    try:
        if broken:
            monkeypatch.setattr(rows, "Database", Unsteady)
            with pytest.raises(IntegrityError):
                back_up(kept.place, kept.home, stores.blobs, tmp_path / "taken")
        else:
            assert back_up(kept.place, kept.home, stores.blobs, tmp_path / "taken").blobs == 2
    finally:
        event.remove(Engine, "before_cursor_execute", publish)
    assert next(left, None) is None and stores.registry.get(project.id, 2)


def test_a_file_that_was_damaged_before_is_named_and_the_rest_kept(
    kept: Kept, stores: Stores, tmp_path: Path, published: tuple[Project, Version]
) -> None:
    project, version = published
    kept.files.write(f"{project.id}/{version.digest[:2]}/{version.digest}", [b"changed"])
    taken = back_up(kept.place, kept.home, stores.blobs, tmp_path / "taken")
    assert [name.sha256 for name in taken.damaged] == [version.digest] and taken.blobs == 1
    assert not (tmp_path / "taken.unfinished").exists()
    with pytest.raises(Conflict, match="exists"):
        back_up(kept.place, kept.home, stores.blobs, tmp_path / "taken")


@pytest.mark.usefixtures("published")
def test_a_flipped_byte_is_refused_by_name_and_nothing_restored(
    kept: Kept, stores: Stores, make: Make, tmp_path: Path
) -> None:
    taken, again = tmp_path / "taken", make("sqlite")
    back_up(kept.place, kept.home, stores.blobs, taken)
    assert check(taken).blobs == 2
    blob = next(iter(sorted(files_of(taken / BLOBS))))
    for name, told in ((FILE_NAME, FILE_NAME), (MANIFEST, MANIFEST), (f"{BLOBS}/{blob}", blob.rpartition("/")[2])):
        whole = (taken / name).read_bytes()
        (taken / name).write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        with pytest.raises(TsugikiError, match=told):
            restore(taken, again.place, again.home, Blobs(again.files))
        (taken / name).unlink()
        with pytest.raises(TsugikiError, match=told):
            restore(taken, again.place, again.home, Blobs(again.files))
        assert files_of(again.home) == set()
        (taken / name).write_bytes(whole)
    restore(taken, again.place, again.home, Blobs(again.files))
    assert files_of(again.home / "blobs") == files_of(taken / BLOBS)


@pytest.mark.parametrize("kept", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("kind", "broken"), [("sqlite", False), ("sqlite", True), ("postgres", False)])
def test_a_restore_that_was_killed_at_any_step_is_marked_and_goes_on_by_itself(
    kind: str,
    broken: bool,
    kept: Kept,
    stores: Stores,
    make: Make,
    tmp_path: Path,
    published: tuple[Project, Version],
    request: pytest.FixtureRequest,
) -> None:
    """Without the mark a kill leaves files that nobody tells from somebody's, and no restore begins any more."""
    fill(stores, published[0])
    stores.publish(stores.project("other"), fill=3)
    taken, other = tmp_path / "taken", make(kind)
    saved = back_up(kept.place, kept.home, stores.blobs, taken)
    url = str(other.home / "blobs")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    if kind == "postgres":
        server: S3Server = request.getfixturevalue("s3")
        url = f"s3://{server.bucket()}/folder"
    given = [str(taken), str(other.home), str(other.place), url, *(["broken"] if broken else [])]
    command = [sys.executable, "-m", "tests.storage.killing_restores", *given]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    left = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(left) > (1 if broken else 4), done.stderr
    half = [told for told in left if told["files"] and not told["rows"] and not told["marked"]]
    assert all(told["whole"] for told in left if told["rows"])
    if broken:
        assert half and left[-1]["status"] == 1 and "already" in done.stderr
        return
    assert half == [], "a service would start on it"
    assert left[-1] == {"status": 0, "marked": False, "rows": True, "files": saved.blobs, "whole": True}
    assert not (other.home / "restoring").exists()


@pytest.mark.parametrize("kept", ["sqlite"], indirect=True)
def test_where_rows_cannot_be_restored_no_file_is(kept: Kept, stores: Stores, make: Make, tmp_path: Path) -> None:
    stores.publish(stores.project())
    with stores.database.write() as session:  # as SQLite alone would keep it
        session.execute(text("UPDATE projects SET name = 'a' || char(0) || 'b'"))
    taken, server = tmp_path / "taken", make("postgres")
    back_up(kept.place, kept.home, stores.blobs, taken)
    with pytest.raises(Invalid, match="NUL"):
        restore(taken, server.place, server.home, Blobs(server.files))
    assert Blobs(server.files).owners() == frozenset()
    with server.open() as left:
        assert left.tenants.count() == 0


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
def test_a_store_that_somebody_has_begun_to_use_is_left_to_them(
    kept: Kept, stores: Stores, make: Make, tmp_path: Path, published: tuple[Project, Version]
) -> None:
    class Busy(Blobs):
        def put_file(self, owner: str, source: Path) -> str:
            with server.open() as somebody:
                somebody.database.migrate()
                if not somebody.tenants.count():
                    somebody.tenants.create("somebody")
            return super().put_file(owner, source)

    back_up(kept.place, kept.home, stores.blobs, tmp_path / "taken")
    server = make("postgres")
    with pytest.raises(Conflict, match="begun to use"):
        restore(tmp_path / "taken", server.place, server.home, Busy(server.files))
    with server.open() as left:
        assert [tenant.name for tenant in left.tenants.list().data] == ["somebody"]


@pytest.mark.parametrize("kept", ["sqlite"], indirect=True)
def test_a_damaged_database_is_not_taken_for_a_backup(kept: Kept, stores: Stores, tmp_path: Path) -> None:
    stores.database.close()
    path = kept.home / FILE_NAME
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 4_096)
    with pytest.raises(ArtifactCorrupt, match="damaged"):
        back_up(kept.place, kept.home, stores.blobs, tmp_path / "taken")
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
def test_rows_of_another_release_are_not_read_as_this_one_s(kept: Kept, stores: Stores, tmp_path: Path) -> None:
    with stores.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    with pytest.raises(Unavailable, match=r"0006.*writes 0"):
        back_up(kept.place, kept.home, stores.blobs, tmp_path / "taken")
