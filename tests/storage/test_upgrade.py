"""What each former release wrote is brought up, all of it, and goes on."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from tests.postgres import Server
from tests.storage.former import EXPORT, JOB, PROJECT, SECRET, TENANT, VECTOR, Former, furnish
from tests.storage.making import Place, empty, open_stores
from tsugiki.storage.backup import back_up, restore
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import MIGRATIONS
from tsugiki.storage.exports import Exports
from tsugiki.storage.features import Features
from tsugiki.storage.idempotency import Idempotency, Replay
from tsugiki.storage.local_files import LocalFiles

COMPRESSED = "0009"  # replies are, from this revision on
REVISIONS = sorted(path.name[1:5] for path in (MIGRATIONS / "versions").glob("m*.py"))


@empty
@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_each_revision_is_brought_up_with_its_rows(place: Place, tmp_path: Path, revision: str) -> None:
    stores, former = open_stores(tmp_path, place), Former(place)
    former.migrate_to(revision)
    assert former.revision() == revision
    with former.write() as session:
        furnish(session, stores.blobs, b"{}" if revision < COMPRESSED else zlib.compress(b"{}"))
        if place != tmp_path:  # rows that brought their numbers: the counter goes on behind them
            session.execute(text("SELECT nextval('alias_moves_id_seq')"))
    former.close()
    stores.database.migrate()
    assert stores.database.revision() == REVISIONS[-1]
    project = stores.projects.owned(PROJECT)
    assert (project.name, project.backbone_open, project.created_at.microsecond) == ("support", False, 250_000)
    assert stores.tenants.usage(TENANT) == {"projects": 1, "samples": 1, "versions": 1, "bytes": 8}
    principal = stores.tenants.authenticate(SECRET)
    assert principal is not None and principal.tenant.quota == {"samples": 9}
    (sample,) = stores.samples.list(PROJECT).data
    assert (sample.label, sample.metadata, sample.source) == ("no", {"page": 1}, "import")
    np.testing.assert_array_equal(Features(stores.database).load(PROJECT, "fsp_tiny").matrix, [VECTOR])
    job = stores.adaptations.get(TENANT, JOB)
    assert (job.status, job.timings, len(stores.adaptations.events(JOB))) == ("succeeded", {"fit_ms": 1.5}, 1)
    version = stores.registry.get(PROJECT, 1)
    assert stores.registry.graft(version).head.labels == ("no", "yes")
    assert stores.registry.evaluation(version) == {"accuracy": {"value": 0.5}}
    assert Exports(stores.database, stores.blobs).get(TENANT, EXPORT).parity == {"equal": True}
    assert stores.publish(project, expected=1, fill=2).number == 2
    assert stores.registry.rollback(PROJECT, "live", "somebody").version == 1
    assert [move.to_version for move in stores.registry.history(PROJECT, "live").data] == [1, 2, 1]
    kept = Idempotency(stores.database).begin(TENANT, "once", "print")
    assert kept == Replay(201, "application/json", b"{}")
    stores.database.close()


def test_a_former_release_s_backup_is_restored_into_this_one_s_server(postgres: Server, tmp_path: Path) -> None:
    """As one that moves from a laptop to a cluster may have kept it."""
    home, server, taken = tmp_path / "home", tmp_path / "server", tmp_path / "taken"
    blobs, former = Blobs(LocalFiles(home / "blobs")), Former(home)
    former.migrate_to("0006")
    with former.write() as session:
        furnish(session, blobs, b"{}")
    former.close()
    back_up(home, home, blobs, taken)
    server.mkdir()
    with postgres.database() as url:
        restore(taken, url, server, Blobs(LocalFiles(server / "blobs")))
        stores = open_stores(server, url)
        assert stores.registry.graft(stores.registry.get(PROJECT, 1)).head.labels == ("no", "yes")
        assert stores.publish(stores.projects.owned(PROJECT), expected=1, fill=2).number == 2
        stores.database.close()
    assert not any(path.name.startswith("restoring-") for path in server.iterdir())
