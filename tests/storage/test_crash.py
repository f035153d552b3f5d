"""I1: whatever step a process is killed at, the store is whole and what was acknowledged is there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.storage.making import Stores, open_stores, sample
from tsugiki.domain import LIVE
from tsugiki.errors import ArtifactCorrupt, NotFound
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import FILE_NAME
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.presence import ALONE
from tsugiki.storage.references import referenced_blobs


@dataclass
class Crash:
    step: int
    acknowledged: list[int]
    after: Stores


@pytest.fixture
def place(tmp_path: Path, migrated: Path) -> Path:
    """Of SQLite: what a server does when it is killed is its makers' to test."""
    return Path(shutil.copy(migrated, tmp_path / FILE_NAME)).parent


@pytest.fixture
def home(stores: Stores) -> Path:
    """A project with version 1 live, one adaptation running, and a sample that is set aside with version 2."""
    project = stores.project()
    stores.samples.add(project.id, [sample("a", "no")])
    stores.publish(project)
    stores.adaptations.start(stores.adaptations.create(project.id, {}).id)
    stores.database.close()
    return stores.home


@pytest.fixture
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


def test_a_publish_killed_at_any_step_is_whole_or_absent_and_can_be_repeated(home: Path, copies: Path) -> None:
    seen: set[int] = set()
    for crash in crashes(home, copies, "publish"):
        assert faults(crash) == [], f"killed at step {crash.step}"
        (tenant,) = crash.after.tenants.list().data
        project = crash.after.projects.get(tenant.id, "support")
        versions = crash.after.registry.list(project.id).data
        seen.add(len(versions))
        for job in crash.after.adaptations.take_over({ALONE}):
            attempt = crash.after.adaptations.start(job.id)
            assert (job.attempts, attempt, len(versions)) == (1, 2, 1)
        assert crash.after.publish(project, expected=len(versions)).number == len(versions) + 1
    assert seen == {1, 2}


def test_a_quarantine_apart_from_its_version_is_found_out_by_the_same_test(home: Path, copies: Path) -> None:
    found = [fault for crash in crashes(home, copies, "publish_quarantine_apart") for fault in faults(crash)]
    assert set(found) == {"the version is out and its quarantine is not"}


def test_rows_before_blobs_are_found_out_by_the_same_test(home: Path, copies: Path) -> None:
    found = [crash.step for crash in crashes(home, copies, "publish_rows_first") if faults(crash)]
    assert found != []


def test_an_erasure_killed_at_any_step_is_whole_or_absent_and_ends_clean(home: Path, copies: Path) -> None:
    gone: set[bool] = set()
    for crash in crashes(home, copies, "delete"):
        assert faults(crash) == [], f"killed at step {crash.step}"
        (tenant,) = crash.after.tenants.list().data
        try:
            crash.after.projects.delete(crash.after.projects.get(tenant.id, "support"))
            gone.add(False)
        except NotFound:
            gone.add(True)
            later = Blobs(LocalFiles(crash.after.home / "blobs"), lambda: datetime.now(UTC) + timedelta(hours=2))
            later.sweep(referenced_blobs(crash.after.database))
        assert [path for path in (crash.after.home / "blobs").rglob("*") if path.is_file()] == []
    assert gone == {False, True}


def crashes(home: Path, copies: Path, action: str) -> Iterator[Crash]:
    """The home as each process left it that was killed, step by step; the last one lived."""
    command = [sys.executable, "-m", "tests.storage.crashing", str(home), action, str(copies)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for step in range(1, len(list(copies.iterdir())) + 1):
        after = open_stores(copies / str(step))
        acknowledged = after.home / "acknowledged"
        yield Crash(step, [int(acknowledged.read_text())] if acknowledged.exists() else [], after)
        after.database.close()


def faults(crash: Crash) -> list[str]:
    """What a user would find wrong; empty is good."""
    found: list[str] = []
    with crash.after.database.read() as session:
        found += [line for line in session.scalars(text("PRAGMA integrity_check")) if line != "ok"]
        found += [str(row) for row in session.execute(text("PRAGMA foreign_key_check"))]
    for project in crash.after.projects.list(crash.after.tenants.list().data[0].id).data:
        versions = crash.after.registry.list(project.id).data
        for version in versions:
            try:
                crash.after.registry.graft(version)
                crash.after.registry.evaluation(version)
            except ArtifactCorrupt as error:
                found.append(str(error))
        numbers = [version.number for version in versions]
        found += [f"acknowledged {number} is lost" for number in crash.acknowledged if number not in numbers]
        alias = crash.after.registry.alias(project.id, LIVE)
        if alias is None or alias.version != max(numbers):
            found.append("the alias is not at the newest version")
        aside = [row.id for row in crash.after.samples.list(project.id).data if row.status == "quarantined"]
        if 2 in numbers and not aside:
            found.append("the version is out and its quarantine is not")
        if 2 not in numbers and aside:
            found.append("there is a quarantine without its version")
        ended = [job.version for job in crash.after.adaptations.list(project.id).data if job.status == "succeeded"]
        if sorted(str(version) for version in ended) != sorted(map(str, numbers)):
            found.append("adaptations and versions disagree")
    return found
