"""Clearing up goes on whatever fails, and what was erased is gone soon."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.storage.making import Stores, open_stores
from tsugiki.jobs.upkeep import Upkeep
from tsugiki.storage import FILE_NAME
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.changes import Changes
from tsugiki.storage.idempotency import Idempotency
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.tables import TenantRow

SOON_S = 20  # what takes so long has hung


class Counted(Idempotency):
    """Tells when a pass got as far as the old replies, and fails as it is told."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(stores.database)
        self.fails: Exception | None = None
        self._passed = threading.Semaphore(0)

    def sweep(self) -> int:
        self._passed.release()
        if self.fails is not None:
            raise self.fails
        return super().sweep()

    def wait(self) -> bool:
        return self._passed.acquire(timeout=SOON_S)


@pytest.fixture
def stores(tmp_path: Path) -> Generator[Stores]:
    opened = open_stores(tmp_path)
    opened.database.migrate()
    yield opened
    opened.database.close()


@pytest.fixture
def counted(stores: Stores) -> Counted:
    return Counted(stores)


@pytest.fixture
def make(stores: Stores, counted: Counted) -> Generator[Callable[..., Upkeep]]:
    made: list[Upkeep] = []

    def upkeep(again_s: float = SOON_S) -> Upkeep:
        made.append(
            Upkeep(stores.database, stores.blobs, counted, Changes(stores.database), stores.home / "one", again_s)
        )
        return made[-1]

    yield upkeep
    for each in made:
        each.close()


def erased_rows_only(stores: Stores) -> Path:
    """A project whose blobs could not be erased with its rows; returns where they are."""
    project = stores.project()
    stores.publish(project)
    blobs, kept = stores.home / "blobs", stores.home / "kept"
    blobs.rename(kept)
    assert not stores.projects.delete(project)
    kept.rename(blobs)
    assert (blobs / project.id).is_dir()
    return blobs / project.id


def test_a_start_erases_what_a_former_process_could_not(stores: Stores, make: Callable[..., Upkeep]) -> None:
    left = erased_rows_only(stores)
    kept = stores.project("kept")
    version = stores.publish(kept)
    assert make().clear()
    assert not left.exists()
    assert stores.registry.graft(version).method == "head"


def test_a_wake_clears_up_at_once(stores: Stores, counted: Counted, make: Callable[..., Upkeep]) -> None:
    upkeep = make()
    assert counted.wait()
    left = erased_rows_only(stores)
    upkeep.wake()
    assert counted.wait()  # it comes after the blobs of erased projects
    assert not left.exists()


def test_what_is_left_is_tried_again_soon(stores: Stores, counted: Counted, make: Callable[..., Upkeep]) -> None:
    shutil.rmtree(stores.home / "blobs")
    make(again_s=0.01)
    for _ in range(3):
        assert counted.wait()
    left = stores.home / "blobs" / "proj_gone" / "ab"
    left.mkdir(parents=True)
    (left / ("0" * 64)).write_bytes(b"left")
    while left.exists():
        assert counted.wait()


def test_a_bug_in_a_step_ends_neither_the_thread_nor_the_other_steps(
    stores: Stores, counted: Counted, make: Callable[..., Upkeep], caplog: pytest.LogCaptureFixture
) -> None:
    counted.fails = ZeroDivisionError("a bug")
    with caplog.at_level(logging.ERROR):
        upkeep = make()
        assert counted.wait()
        stores.tenants.create("in the log")
        assert not upkeep.clear()
        assert counted.wait()
    assert "a bug" in caplog.text
    assert (stores.home / f"{FILE_NAME}-wal").stat().st_size == 0
    counted.fails = None
    upkeep.wake()
    assert counted.wait()


def test_a_database_that_was_damaged_is_cleared_up_once_it_is_restored(stores: Stores, tmp_path: Path) -> None:
    home = tmp_path / "restored"
    home.mkdir()
    (home / FILE_NAME).write_bytes(b"no database at all" * 1000)
    assert stores.database.empty_log()
    damaged = open_stores(home)
    counted = Counted(damaged)
    upkeep = Upkeep(damaged.database, damaged.blobs, counted, Changes(damaged.database), home / "one", again_s=0.01)
    for _ in range(2):
        assert counted.wait()
    shutil.copy(stores.home / FILE_NAME, home / "copy")
    (home / "copy").replace(home / FILE_NAME)
    assert upkeep.clear()
    upkeep.close()
    damaged.database.close()


def test_a_log_that_is_read_is_left_for_the_next_time(stores: Stores, make: Callable[..., Upkeep]) -> None:
    upkeep = make()
    stores.tenants.create("before")
    with stores.database.read() as session:
        session.execute(select(TenantRow.id)).all()
        stores.tenants.create("after")
        assert not upkeep.clear()
    assert upkeep.clear()


def test_a_sweep_that_fails_succeeds_once_the_blobs_are_back(stores: Stores) -> None:
    shutil.rmtree(stores.home / "blobs")
    upkeep = Upkeep(
        stores.database, stores.blobs, Idempotency(stores.database), Changes(stores.database), stores.home / "one"
    )
    assert not upkeep.clear()
    Blobs(LocalFiles(stores.home / "blobs"))
    assert upkeep.clear()
    upkeep.close()
