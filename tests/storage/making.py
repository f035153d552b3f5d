"""What the tests of storage are made of: a store of each kind on one home, and small things to put in."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from tsugiki.domain import Graft, Head, Modality, NewSample, NewVersion, Project, SampleFile, Snapshot, Version
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.blobs import Blobs, Files
from tsugiki.storage.database import BUSY_TIMEOUT_S, Database
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.projects import Projects
from tsugiki.storage.registry import Registry
from tsugiki.storage.samples import Samples
from tsugiki.storage.tenants import Tenants

Place = Path | str  # of a database
only_sqlite = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
own = pytest.mark.parametrize("place", ["sqlite", "own postgres"], indirect=True)  # for tests that spoil the tables
empty = pytest.mark.parametrize("place", ["empty sqlite", "empty postgres"], indirect=True)
only_postgres = pytest.mark.parametrize("place", ["postgres"], indirect=True)


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def advance(self, step: timedelta) -> None:
        self.at += step


@dataclass
class Stores:
    home: Path
    place: Place
    clock: Clock
    database: Database
    blobs: Blobs
    tenants: Tenants
    projects: Projects
    samples: Samples
    adaptations: Adaptations
    registry: Registry
    moved: list[str]

    def again(self, busy_timeout_s: float = BUSY_TIMEOUT_S, *, shared: bool = False) -> Database:
        """The same database as another process has it."""
        return Database(self.place, self.clock, busy_timeout_s, shared=shared)

    def project(self, name: str = "support", tenant: str = "acme", modality: Modality = "text") -> Project:
        known = {found.name: found.id for found in self.tenants.list().data}
        tenant_id = known.get(tenant) or self.tenants.create(tenant).id
        return self.projects.create(tenant_id, name, modality, "single_label", "tiny")

    def publish(
        self, project: Project, promote_to: str | None = "live", expected: int | None = None, fill: float = 1
    ) -> Version:
        job = self.adaptations.create(project.id, {})
        attempt = self.adaptations.start(job.id)
        new = new_version(project, self.database.ids.new("snp"), fill)
        gate = {"reason": "first"}
        return self.registry.publish(project.id, new, job.id, attempt, promote_to, expected, gate, {}, job.id)


def open_stores(home: Path, place: Place | None = None, *, shared: bool = False, files: Files | None = None) -> Stores:
    """All is in `home`, unless the database's `place` is told, or what keeps the `files`."""
    clock, moved = Clock(), list[str]()
    database = Database(place or home, clock, shared=shared)
    blobs = Blobs(files or LocalFiles(home / "blobs"))
    return Stores(
        home=home,
        place=place or home,
        clock=clock,
        database=database,
        blobs=blobs,
        tenants=Tenants(database),
        projects=Projects(database, blobs),
        samples=Samples(database, blobs),
        adaptations=Adaptations(database),
        registry=Registry(database, blobs, moved.append),
        moved=moved,
    )


def sample(content: str, label: str | None = None, source: str | None = None) -> NewSample:
    digest = sha256(content.encode()).hexdigest()
    return NewSample(content, digest, digest, label, source=source)


def file_sample(data: bytes, label: str | None = None) -> NewSample:
    """Of a project of pictures or sounds; nothing here reads what is in it."""
    digest = sha256(data).hexdigest()
    return NewSample(digest, digest, digest, label, file=SampleFile(data, {"light": 0.5}))


def graft(fill: float = 1, labels: tuple[str, ...] = ("no", "yes")) -> Graft:
    weight = np.full((len(labels), 4), fill, np.float32)
    head = Head(weight, np.arange(len(labels), dtype=np.float32), 1.5, labels)
    return Graft("head", "fsp_tiny", head, {"strength": 0.1})


def new_version(project: Project, snapshot_id: str, fill: float = 1) -> NewVersion:
    snapshot = Snapshot(snapshot_id, project.id, ("smp_a", "smp_b"), ("no", "yes"), (0, 1), (0, 0), (0, 1))
    return NewVersion(graft(fill), snapshot, "tiny", {"accuracy": {"value": 0.5}}, {"accuracy": 0.5}, {})
