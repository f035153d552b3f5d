import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.storage.making import Place, Stores, open_stores, own
from tsugiki.errors import Conflict
from tsugiki.storage import FILE_NAME, changes, looking
from tsugiki.storage.changes import KEPT, Change, Changes, Watcher, note

SOON_S = 20.0  # what takes so long has hung


@pytest.fixture
def shared(tmp_path: Path, place: Place) -> Generator[Stores]:
    opened = open_stores(tmp_path, place, shared=True)
    yield opened
    opened.database.close()


def noted(stores: Stores) -> list[Change]:
    return list(Changes(stores.database).since(0).values())


def test_all_that_others_must_forget_is_noted_and_nothing_else(shared: Stores) -> None:
    project = shared.project()
    shared.publish(project, promote_to=None)
    assert noted(shared) == []
    shared.registry.move(project.id, "live", 1)
    shared.publish(project, expected=1)
    shared.registry.rollback(project.id, "live", "me")
    shared.projects.update(project.id, policy=lambda policy: policy)
    assert noted(shared) == [Change(project.id, False)] * 4


def test_of_an_erased_project_one_note_is_left_and_goes_with_time(shared: Stores) -> None:
    project = shared.project()
    shared.publish(project)
    shared.projects.delete(project)
    assert noted(shared) == [Change(project.id, True)]
    assert Changes(shared.database).prune() == 0
    shared.clock.advance(KEPT)
    assert Changes(shared.database).prune() == 1
    assert shared.database.empty_log()
    if shared.place == shared.home:
        assert project.id.encode() not in (shared.home / FILE_NAME).read_bytes()


def test_what_did_not_happen_is_not_told(shared: Stores) -> None:
    project = shared.project()
    shared.publish(project)
    before = noted(shared)
    with pytest.raises(Conflict):
        shared.registry.rollback(project.id, "live", "me")
    with pytest.raises(ZeroDivisionError), shared.database.write() as session:
        note(shared.database, session, project.id)
        raise ZeroDivisionError
    assert noted(shared) == before


def test_one_process_tells_nobody(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    stores.projects.delete(project)
    assert noted(stores) == []


def test_a_number_is_never_given_again(shared: Stores) -> None:
    project = shared.project()
    shared.publish(project)
    last = Changes(shared.database).last()
    shared.clock.advance(KEPT)
    assert Changes(shared.database).prune() == 1
    shared.publish(project, expected=1)
    assert Changes(shared.database).last() == last + 1


class Watched:
    """Another process's connection to the same database, and what its watcher told."""

    def __init__(self, stores: Stores) -> None:
        self.database = stores.again(shared=True)
        self.told: list[Change] = []
        self.blind = threading.Event()
        self._news = threading.Semaphore(0)
        self.watcher = Watcher(self.database, self._hear, self.blind.set)

    def wait(self) -> Change:
        assert self._news.acquire(timeout=SOON_S)
        return self.told[-1]

    def close(self) -> None:
        self.watcher.close()
        self.database.close()

    def _hear(self, change: Change) -> None:
        self.told.append(change)
        self._news.release()


def test_another_process_hears_of_each_change_once(shared: Stores) -> None:
    project = shared.project()
    shared.publish(project)
    other = Watched(shared)
    shared.publish(project, expected=1)
    assert other.wait() == Change(project.id, False)
    shared.projects.delete(project)
    assert other.wait() == Change(project.id, True)
    other.close()
    assert len(other.told) == 2, "what was before its start is nothing to it"


@own
def test_a_look_that_fails_loses_nothing(
    shared: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(looking, "RETRY_S", 0.05)
    project = shared.project()
    other = Watched(shared)
    with shared.database.write() as session:
        session.execute(text("ALTER TABLE changes RENAME TO away"))
    while "cannot be seen now" not in caplog.text:
        assert not other.blind.wait(0.01)
    with shared.database.write() as session:
        session.execute(text("ALTER TABLE away RENAME TO changes"))
    shared.publish(project)
    assert other.wait() == Change(project.id, False)
    other.close()


def test_who_did_not_look_for_long_says_so(shared: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "BLIND_S", -1.0)
    other = Watched(shared)
    assert other.blind.wait(SOON_S)
    other.close()
