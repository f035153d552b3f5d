"""What a user would find wrong in a home whose process was killed, and whether it is the old or the new one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select, text

from tests.storage.acts import SPACE, Act, Fault, export, waiting_export
from tests.storage.making import Stores, open_stores
from tsugiki.domain import LIVE, Project
from tsugiki.errors import ArtifactCorrupt
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.features import Features
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.presence import ALONE
from tsugiki.storage.references import erased_owners, referenced_blobs
from tsugiki.storage.tables import Base, ExportRow

State = Literal["old", "new"]
KEPT = {"tenants", "keys", "changes"}  # tables with rows after the only project was erased


@dataclass(frozen=True, slots=True)
class Crash:
    """`at` is where it was killed, `acknowledged` what had been told by then."""

    at: str
    act: Act | Fault
    acknowledged: str | None
    after: Stores

    @property
    def project(self) -> Project | None:
        (tenant,) = self.after.tenants.list().data
        return next(iter(self.after.projects.list(tenant.id).data), None)


@contextmanager
def reopened(home: Path, act: Act | Fault, at: str) -> Generator[Crash]:
    after = open_stores(home)
    told = home / "acknowledged"
    yield Crash(at, act, told.read_text() if told.exists() else None, after)
    after.database.close()


def state(crash: Crash) -> State:
    """Which of the two it is; `faults` says whether it is that one whole."""
    project = crash.project
    act = crash.act.partition("_")[0]
    if project is None or act == "delete":
        return "old" if project else "new"
    new = {
        "publish": lambda: len(crash.after.registry.list(project.id).data) == 3,
        "rollback": lambda: _live(crash.after, project) == 1,
        "export": lambda: _finished_exports(crash.after) == 2,
    }
    return "new" if new[act]() else "old"


def faults(crash: Crash) -> list[str]:
    """Empty is good."""
    found: list[str] = []
    with crash.after.database.read() as session:
        found += [line for line in session.scalars(text("PRAGMA integrity_check")) if line != "ok"]
        found += [str(row) for row in session.execute(text("PRAGMA foreign_key_check"))]
    if crash.acknowledged is not None and state(crash) == "old":
        found.append(f"acknowledged {crash.acknowledged} is lost")
    project = crash.project
    if project is None:
        return found + _left_of_the_erased(crash)
    return [*found, *_versions(crash, project), *_alias(crash, project), *_samples(crash, project), *_exports(crash)]


def go_on(crash: Crash) -> list[str]:
    """What the next process does: the act once more unless it was done, then clearing up. Says what went wrong."""
    after, project = crash.after, crash.project
    if project is not None:
        match crash.act:
            case "publish":
                _publish_again(crash, project)
            case "rollback" if state(crash) == "old":
                assert after.registry.rollback(project.id, LIVE, "again").version == 1
            case "export" if state(crash) == "old":
                export(after, waiting_export(after))
                assert _finished_exports(after) == 2
            case "delete":
                assert after.projects.delete(project)
            case _:
                pass
    return [*_swept(after), *([] if crash.project is None else _exports(crash))]


def _publish_again(crash: Crash, project: Project) -> None:
    after, published = crash.after, len(crash.after.registry.list(project.id).data)
    for job in after.adaptations.take_over({ALONE}):
        attempt = after.adaptations.start(job.id)
        assert (job.attempts, attempt, published) == (1, 2, 2)
    assert after.publish(project, expected=published).number == published + 1


def _versions(crash: Crash, project: Project) -> list[str]:
    found: list[str] = []
    versions = crash.after.registry.list(project.id).data
    for version in versions:
        try:
            crash.after.registry.graft(version)
            crash.after.registry.evaluation(version)
        except ArtifactCorrupt as error:
            found.append(f"version {version.number}: {error}")
    numbers = [version.number for version in versions]
    if numbers not in ([1, 2], [1, 2, 3]):
        found.append(f"versions are {numbers}")
    ended = [job.version for job in crash.after.adaptations.list(project.id).data if job.status == "succeeded"]
    if sorted(str(version) for version in ended) != sorted(map(str, numbers)):
        found.append("adaptations and versions disagree")
    return found


def _alias(crash: Crash, project: Project) -> list[str]:
    moves = crash.after.registry.history(project.id, LIVE).data
    live, newest = _live(crash.after, project), len(crash.after.registry.list(project.id).data)
    found: list[str] = []
    if not moves or moves[0].to_version != live:
        found.append("the alias is not where its history ends")
    if not crash.act.startswith("rollback") and live != newest:
        found.append("the alias is not at the newest version")
    return found


def _samples(crash: Crash, project: Project) -> list[str]:
    found: list[str] = []
    rows = crash.after.samples.list(project.id).data
    out = len(crash.after.registry.list(project.id).data) == 3
    aside = [row.id for row in rows if row.status == "quarantined"]
    if out and not aside:
        found.append("the version is out and its quarantine is not")
    if not out and aside:
        found.append("there is a quarantine without its version")
    if (
        list(Features(crash.after.database).load(project.id, SPACE).sample_ids) != [row.id for row in rows]
        or len(rows) != 1
    ):
        found.append("samples and features disagree")
    return found


def _exports(crash: Crash) -> list[str]:
    found: list[str] = []
    with crash.after.database.read() as session:
        rows = [(row.project_id, row.status, row.sha256, row.bytes) for row in session.scalars(select(ExportRow))]
    if len(rows) != 2:
        found.append(f"exports are {len(rows)}")
    for project_id, status, sha256, size_bytes in rows:
        if (status == "succeeded") != (sha256 is not None):
            found.append(f"an export is {status} and its file {sha256}")
        elif sha256 is not None and not crash.after.blobs.has(project_id, sha256):
            found.append("a finished export has no file")
        elif sha256 is not None and len(crash.after.blobs.get(project_id, sha256)) != size_bytes:
            found.append("an export's file is not as long as its row says")
    return found


def _left_of_the_erased(crash: Crash) -> list[str]:
    with crash.after.database.read() as session:
        tables = [table for table in Base.metadata.sorted_tables if table.name not in KEPT]
        return [
            f"{table.name} has rows of the erased project"
            for table in tables
            if session.scalar(select(func.count()).select_from(table))
        ]


def _swept(after: Stores) -> list[str]:
    """Clears up as a service does two hours later; what is not named then, or named and gone, went wrong."""
    later = Blobs(LocalFiles(after.home / "blobs"), lambda: datetime.now(UTC) + timedelta(hours=2))
    for owner in erased_owners(after.database, later.owners()):
        later.delete_owner(owner)
    named = referenced_blobs(after.database)
    later.sweep(named)
    files = {(path.parts[-3], path.name) for path in (after.home / "blobs").rglob("*") if path.is_file()}
    return [f"{name} is a file and no row's" for name in files - set(named)] + [
        f"{name} is a row's and no file" for name in set(named) - files
    ]


def _live(after: Stores, project: Project) -> int | None:
    alias = after.registry.alias(project.id, LIVE)
    return None if alias is None else alias.version


def _finished_exports(after: Stores) -> int:
    with after.database.read() as session:
        done = select(func.count()).select_from(ExportRow).where(ExportRow.status == "succeeded")
        return session.scalar(done) or 0
