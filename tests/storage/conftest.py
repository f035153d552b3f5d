"""A fresh database for each test, of each kind; the tables are made once and copied."""

import shutil
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Server
from tests.storage.making import Place, Stores, open_stores
from tsugiki.storage import FILE_NAME
from tsugiki.storage.database import Database


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("migrated")
    _migrate(home)
    return home / FILE_NAME


@pytest.fixture(scope="session")
def template(postgres: Server) -> Generator[str]:
    """The name of a migrated database to which nobody is connected."""
    with postgres.database() as url:
        _migrate(url)
        yield url.rpartition("/")[2]


@pytest.fixture(scope="session")
def emptied(postgres: Server, template: str) -> Generator[str]:
    """One database for the tests that only put rows in: emptying it costs a tenth of copying another."""
    with postgres.database(template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Place]:
    """Where a migrated database is, as `Database` takes it."""
    if request.param in ("sqlite", "empty sqlite"):
        if request.param == "sqlite":
            shutil.copy(request.getfixturevalue("migrated"), tmp_path / FILE_NAME)
        yield tmp_path
    elif request.param == "postgres":
        url: str = request.getfixturevalue("emptied")
        yield url
        _empty(url)
    else:
        postgres: Server = request.getfixturevalue("postgres")
        template = "template1" if request.param == "empty postgres" else request.getfixturevalue("template")
        with postgres.database(template) as url:
            yield url


@pytest.fixture
def stores(tmp_path: Path, place: Place) -> Generator[Stores]:
    opened = open_stores(tmp_path, place)
    yield opened
    opened.database.close()


def _empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        connection.execute(f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid()")
        connection.execute("DELETE FROM tenants; DELETE FROM changes")  # everything else goes with its tenant


def _migrate(place: Place) -> None:
    database = Database(place)
    database.migrate()
    database.close()
