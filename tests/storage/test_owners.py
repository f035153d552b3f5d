"""Whose writes wait for whose on PostgreSQL, and what would go wrong if some did not."""

import threading
from collections.abc import Callable, Sequence
from itertools import count

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.storage.making import Stores, new_version, only_postgres, sample
from tsugiki.errors import Conflict, Unavailable
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.changes import Changes, note
from tsugiki.storage.database import Database
from tsugiki.storage.exports import Exports
from tsugiki.storage.idempotency import Fresh, Idempotency
from tsugiki.storage.postgres import CHANNEL
from tsugiki.storage.quotas import require_room
from tsugiki.storage.registry import Registry
from tsugiki.storage.samples import Samples
from tsugiki.storage.tables import AdaptationRow

pytestmark = only_postgres


def test_owners_write_beside_each_other_and_after_whoever_names_none(stores: Stores) -> None:
    impatient = stores.again(0.05)

    def may(of: str | None) -> bool:
        try:
            with impatient.write(of) as session:
                session.execute(select(1))
        except Unavailable:
            return False
        return True

    for holding, allowed in (("one", ["other"]), (None, [])):
        with stores.database.write(holding) as session:
            session.execute(select(1))
            assert [of for of in ("one", "other", None) if may(of)] == allowed
    assert may("one") and may(None)
    impatient.close()


def test_one_project_s_jobs_versions_aliases_and_exports_wait_for_no_other_s(stores: Stores) -> None:
    one, other = stores.project("one"), stores.project("other")
    stores.publish(other)
    stores.publish(other, expected=1)
    impatient = stores.again(0.05, shared=True)
    adaptations, registry = Adaptations(impatient), Registry(impatient, stores.blobs)
    exports = Exports(impatient, stores.blobs)
    begun = [adaptations.create(other.id, {}) for _ in range(2)]
    new = new_version(other, stores.database.ids.new("snp"))
    attempt = adaptations.start(begun[0].id)
    acts: dict[str, Callable[[], object]] = {
        "create": lambda: adaptations.create(other.id, {}, for_trainer=True),
        "start": lambda: adaptations.start(begun[1].id),
        "publish": lambda: registry.publish(other.id, new, begun[0].id, attempt, "live", 2, {}, {}, "me"),
        "move": lambda: registry.move(other.id, "live", 1),
        "rollback": lambda: registry.rollback(other.id, "live", "me"),
        "export": lambda: exports.begin(other.id, 1, "fp32"),
        "cancel": lambda: adaptations.cancel(other.tenant_id, begun[1].id),
    }
    with stores.database.write(of=one.id) as session:
        session.execute(select(1))
        assert {name: _may(act) for name, act in acts.items()} == dict.fromkeys(acts, True)
    with stores.database.write() as session:
        session.execute(select(1))
        assert {name: _may(act) for name, act in acts.items()} == dict.fromkeys(acts, False)
    with stores.database.write(of=other.id) as session:
        session.execute(select(1))
        own = ("create", "publish", "move", "rollback", "export")
        assert [name for name in own if _may(acts[name])] == []
    impatient.close()


@pytest.mark.parametrize("writing", [True, False])
def test_who_asks_for_room_in_order_to_store_makes_others_of_the_tenant_wait(stores: Stores, writing: bool) -> None:
    """The control asks ahead only: there is room for one, and two are told so."""
    one, other = stores.project("one"), stores.project("other")
    stores.tenants.set_quota(one.tenant_id, {"samples": 1})
    impatient = stores.again(0.05, shared=True)
    with stores.database.write(of=one.id) as session:
        require_room(session, one.tenant_id, samples=[sample("a")], writing=writing)
        assert _may(lambda: Samples(impatient, stores.blobs).add(other.id, [sample("b")])) == (not writing)
    impatient.close()


@pytest.mark.parametrize("broken", [False, True])
def test_an_adaptation_that_is_being_published_is_not_cancelled(
    broken: bool, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing is its project's, cancelling its own: only the lock on its row keeps them apart."""
    if broken:

        def unlocked(session: Session, project_id: str, adaptation_id: str, attempt: int) -> AdaptationRow:
            row = session.get(AdaptationRow, adaptation_id)
            assert row is not None
            return row

        monkeypatch.setattr("tsugiki.storage.registry._fence", unlocked)
    project, impatient = stores.project(), stores.again(0.05)
    job = stores.adaptations.create(project.id, {})
    attempt, meanwhile = stores.adaptations.start(job.id), list[bool]()

    class Asked(dict[str, object]):
        """A gate's words, asked for in mid-transaction."""

        def get(self, key: str, default: object = None) -> object:
            meanwhile.append(_may(lambda: Adaptations(impatient).cancel(project.tenant_id, job.id)))
            meanwhile.append(_may(lambda: Adaptations(impatient).add_event(job.id, "message", {})))
            return default

    new = new_version(project, stores.database.ids.new("snp"))
    stores.registry.publish(project.id, new, job.id, attempt, "live", None, Asked(), {}, "me")
    assert meanwhile == [broken, broken]
    impatient.close()


@pytest.mark.parametrize("broken", [False, True])
def test_changes_are_committed_in_the_order_of_their_numbers(
    broken: bool, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looks at numbers in order would miss one that is committed late."""
    if broken:
        monkeypatch.setattr("tsugiki.storage.postgres.TELL", f"SELECT pg_notify('{CHANNEL}', '')")
    one, other = stores.again(shared=True), stores.again(0.05, shared=True)

    def tell() -> None:
        with other.write(of="other") as session:
            note(other, session, "other")

    with one.write(of="one") as session:
        note(one, session, "one")
        assert _may(tell) == broken
        seen = Changes(one).last()
    assert (list(Changes(one).since(seen)) == []) == broken, "a lost one"
    one.close()
    other.close()


@pytest.mark.parametrize("broken", [False, True])
def test_versions_of_one_project_by_several_processes_are_numbered_without_a_gap(
    broken: bool, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken:
        _lock_each_time_another(monkeypatch)
    project = stores.project()
    databases, wrong = [stores.again() for _ in range(3)], list[str]()
    together = threading.Barrier(len(databases))

    def publish(database: Database) -> None:
        adaptations, registry = Adaptations(database), Registry(database, stores.blobs)
        for _ in range(10):
            job = adaptations.create(project.id, {})
            attempt, new = adaptations.start(job.id), new_version(project, database.ids.new("snp"))
            together.wait()
            try:
                registry.publish(project.id, new, job.id, attempt, None, None, {}, {}, "me")
            except IntegrityError as error:
                wrong.append(type(error).__name__)

    _at_once(publish, databases)
    given = [version.number for version in stores.registry.list(project.id).data]
    assert ((wrong, given) == ([], list(range(1, 31)))) != broken


@pytest.mark.parametrize("broken", [False, True])
def test_writes_of_one_owner_by_several_processes_see_each_other(
    broken: bool, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are numbered by the highest there is, equal samples are one, and a key is fresh once."""
    if broken:
        _lock_each_time_another(monkeypatch)
    project = stores.project()
    job = stores.adaptations.create(project.id, {})
    databases, wrong = [stores.again() for _ in range(3)], list[str]()
    together = threading.Barrier(len(databases))

    def write(database: Database) -> None:
        adaptations, samples = Adaptations(database), Samples(database, stores.blobs)
        for number in range(20):
            together.wait()
            try:
                adaptations.add_event(job.id, "message", {})
                samples.add(project.id, [sample(f"words {number}")])
                begun.append(type(Idempotency(database).begin(project.tenant_id, f"key {number}", "print")))
            except Conflict:  # told to all but the first
                pass
            except IntegrityError as error:
                wrong.append(type(error).__name__)

    begun = list[type]()
    _at_once(write, databases)
    seqs = [event.seq for event in stores.adaptations.events(job.id)]
    kept = len(stores.samples.list(project.id).data)
    whole = (wrong, begun, seqs, kept) == ([], [Fresh] * 20, list(range(1, 61)), 20)
    assert whole != broken


def _lock_each_time_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that must be found: no two writes are taken for one owner's."""
    numbers = count(1 << 31)

    def another_each_time(owner: bytes) -> int:
        return next(numbers)

    monkeypatch.setattr("tsugiki.storage.postgres.crc32", another_each_time)


def _at_once(work: Callable[[Database], None], databases: Sequence[Database]) -> None:
    """Of each in a thread of its own; they are closed then."""
    threads = [threading.Thread(target=work, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()


def _may(act: Callable[[], object]) -> bool:
    """Whether it is done, and not refused for another write."""
    try:
        act()
    except Unavailable:
        return False
    return True
