from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.storage.making import Stores
from tsugiki.errors import Conflict, NotFound
from tsugiki.storage.exports import Exports


def test_a_finished_export_is_found_by_its_id(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database, stores.blobs)
    queued = exports.create(project.id, 1, "fp32")
    assert exports.start(queued.id).status == "running"
    done = exports.finish(queued.id, 10, "0" * 64, {"rows": 3}, {"p50_ms": 1.0})
    assert (done.status, done.bytes, done.parity) == ("succeeded", 10, {"rows": 3})
    assert exports.get(project.tenant_id, queued.id) == done


def test_an_ended_export_stays_as_it_is(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database, stores.blobs)
    failed, waiting = exports.create(project.id, 1, "fp32"), exports.create(project.id, 1, "int8")
    exports.fail(failed.id, {"code": "parity_missed"})
    for write in (
        lambda: exports.start(failed.id),
        lambda: exports.finish(failed.id, 1, "0" * 64, {}, {}),
        lambda: exports.fail(failed.id, {}),
    ):
        with pytest.raises(Conflict) as refused:
            write()
        assert refused.value.reason == "fenced"
    assert exports.get(project.tenant_id, failed.id).error == {"code": "parity_missed"}
    assert [export.id for export in exports.take_over({1})] == [waiting.id]


def test_a_foreign_export_is_not_found(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database, stores.blobs)
    export = exports.create(project.id, 1, "fp32")
    with pytest.raises(NotFound):
        exports.get(stores.tenants.create("other").id, export.id)
    with pytest.raises(NotFound):
        exports.create(project.id, 2, "fp32")


def test_the_same_export_is_begun_once_whatever_its_state(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database, stores.blobs)
    first = exports.begin(project.id, 1, "fp32")
    assert exports.begin(project.id, 1, "fp32") == first
    assert exports.begin(project.id, 1, "int8").id != first.id
    running = exports.start(first.id)
    assert exports.begin(project.id, 1, "fp32") == running
    done = exports.finish(first.id, 3, stores.blobs.put(project.id, b"zip"), {}, {})
    assert exports.begin(project.id, 1, "fp32") == done
    with pytest.raises(NotFound):
        exports.begin(project.id, 2, "fp32")


def test_an_export_that_abstains_otherwise_is_another(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database, stores.blobs)
    made = [exports.begin(project.id, 1, "fp32", below) for below in (None, 0.5, None, 0.5, 0.75)]
    assert [export.abstain_below for export in made] == [None, 0.5, None, 0.5, 0.75]
    assert made[0] == made[2] != made[1] == made[3]


def test_begun_at_the_same_moment_an_export_is_one(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database, stores.blobs)
    with ThreadPoolExecutor(4) as pool:
        begun = [pool.submit(exports.begin, project.id, 1, "fp32") for _ in range(8)]
    assert len({future.result().id for future in begun}) == 1


def test_a_failed_export_is_made_anew(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database, stores.blobs)
    failed = exports.begin(project.id, 1, "fp32")
    exports.fail(failed.id, {"code": "parity_missed"})
    assert exports.begin(project.id, 1, "fp32").id != failed.id


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_an_export_whose_file_is_lost_or_changed_is_made_anew_and_heals_the_old_one(
    stores: Stores, damage: str
) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database, stores.blobs)
    old = exports.begin(project.id, 1, "fp32")
    sha = stores.blobs.put(project.id, b"zip")
    exports.finish(old.id, 3, sha, {}, {})
    (file,) = stores.home.rglob(sha)
    file.write_bytes(b"zap")
    if damage == "lost":
        file.unlink()
    new = exports.begin(project.id, 1, "fp32")
    assert (new.id != old.id, new.status) == (True, "queued")
    assert exports.begin(project.id, 1, "fp32") == new
    done = exports.finish(new.id, 3, stores.blobs.put(project.id, b"zip"), {}, {})
    assert exports.begin(project.id, 1, "fp32") == done
    assert b"".join(stores.blobs.open(project.id, sha)) == b"zip"
