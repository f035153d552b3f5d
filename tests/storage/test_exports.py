import pytest

from tests.storage.making import Stores
from tsugiki.errors import Conflict, NotFound
from tsugiki.storage.exports import Exports


def test_a_finished_export_is_found_instead_of_made_again(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database)
    queued = exports.create(project.id, 1, "fp32")
    assert exports.find(project.id, 1, "fp32") is None
    assert exports.start(queued.id).status == "running"
    done = exports.finish(queued.id, 10, "0" * 64, {"rows": 3}, {"p50_ms": 1.0})
    assert (done.status, done.bytes, done.parity) == ("succeeded", 10, {"rows": 3})
    assert exports.find(project.id, 1, "fp32") == exports.get(project.tenant_id, queued.id) == done
    assert exports.find(project.id, 1, "int8") is None


def test_an_ended_export_stays_as_it_is(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database)
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
    assert [export.id for export in exports.unfinished()] == [waiting.id]


def test_a_foreign_export_is_not_found(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    exports = Exports(stores.database)
    export = exports.create(project.id, 1, "fp32")
    with pytest.raises(NotFound):
        exports.get(stores.tenants.create("other").id, export.id)
    with pytest.raises(NotFound):
        exports.create(project.id, 2, "fp32")
