"""`python -m service.migrate` makes the tables where the services will look for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import Server
from tsugiki.storage import FILE_NAME
from tsugiki.storage.database import Database


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_empty_store_has_its_tables_before_any_service_and_may_be_asked_again(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        _migrate_twice(tmp_path, tmp_path, {})
        return
    postgres: Server = request.getfixturevalue("postgres")
    with postgres.database() as url:
        _migrate_twice(tmp_path, url, {"TSUGIKI_DATABASE_URL": url, "TSUGIKI_BLOBS_URL": f"file://{tmp_path}/blobs"})
    assert not (tmp_path / FILE_NAME).exists()


def _migrate_twice(home: Path, place: Path | str, settings: dict[str, str]) -> None:
    env = {**os.environ, **settings, "TSUGIKI_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    told = [
        subprocess.run(
            [sys.executable, "-m", "service.migrate"], env=env, capture_output=True, text=True, timeout=60, check=True
        ).stderr
        for _ in range(2)
    ]
    database = Database(place)
    found = database.revision()
    assert found is not None and all(found in text for text in told)
    database.close()
