"""What a running job tells its store, and goes on without while that is away."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.storage.making import Stores, open_stores
from tsugiki.domain import Adaptation
from tsugiki.errors import Conflict, Unavailable
from tsugiki.jobs.progress import JobProgress
from tsugiki.storage import FILE_NAME
from tsugiki.storage.adaptations import Adaptations

IMPATIENT_S = 0.01  # how long a writer waits for another one


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    opened = open_stores(tmp_path)
    opened.database.migrate()
    yield opened
    opened.database.close()


@pytest.fixture
def job(stores: Stores) -> Adaptation:
    return stores.adaptations.create(stores.project().id, {"method": "lora"})


@contextmanager
def away(stores: Stores) -> Generator[None]:
    """Somebody else has the database for himself."""
    with closing(sqlite3.connect(stores.home / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("outage_s", [60.0, 0.0])
def test_what_trains_goes_on_while_its_store_is_away_for_a_moment(
    stores: Stores, job: Adaptation, caplog: pytest.LogCaptureFixture, outage_s: float
) -> None:
    with closing(stores.again(IMPATIENT_S)) as database:
        adaptations = Adaptations(database)
        progress = JobProgress(adaptations, job.id, adaptations.start(job.id), outage_s=outage_s, again_s=0.0)
        progress.phase("embed", 0.5)
        with away(stores):
            if outage_s:
                progress.phase("train", 0.1)
                progress.metric("watched_log_loss", 1.0)
                progress.check()
                assert "goes on while its store is away" in caplog.text
            else:
                with pytest.raises(Unavailable):
                    progress.phase("train", 0.1)
        progress.phase("evaluate", 0.0)
        (tenant,) = stores.tenants.list().data
        assert stores.adaptations.get(tenant.id, job.id).phase == "evaluate"


def test_a_plan_is_told_or_its_step_is_begun_anew(stores: Stores, job: Adaptation) -> None:
    with closing(stores.again(IMPATIENT_S)) as database:
        adaptations = Adaptations(database)
        progress = JobProgress(adaptations, job.id, adaptations.start(job.id))
        with away(stores), pytest.raises(Unavailable):
            progress.phase("plan", 0.0, plan={"chosen": "lora"})


def test_who_was_taken_over_from_hears_of_it_however_away_the_store_was(stores: Stores, job: Adaptation) -> None:
    with closing(stores.again(IMPATIENT_S)) as database:
        adaptations = Adaptations(database)
        progress = JobProgress(adaptations, job.id, adaptations.start(job.id), again_s=0.0)
        with away(stores):
            progress.phase("train", 0.1)
        stores.adaptations.start(job.id)
        with pytest.raises(Conflict):
            progress.phase("evaluate", 0.0)
