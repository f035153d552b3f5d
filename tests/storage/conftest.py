"""A fresh home for each test; the tables are made once and copied."""

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.storage.making import Stores, open_stores
from tsugiki.storage.database import FILE_NAME, Database


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("migrated")
    database = Database(home)
    database.migrate()
    database.close()
    return home / FILE_NAME


@pytest.fixture
def stores(tmp_path: Path, migrated: Path) -> Generator[Stores]:
    shutil.copy(migrated, tmp_path / FILE_NAME)
    opened = open_stores(tmp_path)
    yield opened
    opened.database.close()
