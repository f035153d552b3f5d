"""A home full of tenants with live versions, made by the stores the service itself uses."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from service.settings import read_settings
from tests.bench.heads import RandomHead, random_head
from tsugiki.backbones import load
from tsugiki.domain import LIVE, FeatureSpace, Graft, Head, NewSample, NewVersion, Project, Scope, Snapshot
from tsugiki.runtime.engines.making import Cores, choose_engine, make
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import Database
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.projects import Projects
from tsugiki.storage.registry import Registry
from tsugiki.storage.samples import Samples
from tsugiki.storage.tenants import Tenants

BACKBONE = "minilm-en"
PROJECT = "mine"
LABELS = ("a", "b")  # of the samples, which no figure depends on


class Filled(NamedTuple):
    tenant_id: str
    key: str


def fill(
    home: Path, tenants: int, *, classes: int | None = None, versions: int = 1, scopes: tuple[Scope, ...] = ("predict",)
) -> list[Filled]:
    """A tenant, a project `PROJECT`, four samples and `versions` versions each, the last one live.

    Heads are random, of `classes` classes or of a drawn number of them. The home has been served or wired before; it
    may be filled again, numbers go on.
    """
    database = Database(home)
    filler = _Filler(database, home)
    first = Tenants(database).count()
    filled = [filler.add(first + n, classes, versions, list(scopes)) for n in range(tenants)]
    database.close()
    return filled


def served_space(home: Path) -> FeatureSpace:
    """The feature space that a service on this home works in."""
    files = load(BACKBONE, {}, home / "graphs")
    alone = Cores(1, 1)
    engine = make(choose_engine(read_settings().engine, files, alone).name, files, None, alone)
    return files.at(engine.precision).backbone.space


class _Filler:
    def __init__(self, database: Database, home: Path) -> None:
        blobs = Blobs(LocalFiles(home / "blobs"))
        self._database = database
        self._tenants, self._projects = Tenants(database), Projects(database, blobs)
        self._samples, self._adaptations = Samples(database, blobs), Adaptations(database)
        self._registry = Registry(database, blobs)
        self._space = served_space(home)

    def add(self, number: int, classes: int | None, versions: int, scopes: list[Scope]) -> Filled:
        tenant = self._tenants.create(f"tenant-{number}")
        key = self._tenants.issue_key(tenant.id, "key", scopes).secret
        project = self._projects.create(tenant.id, PROJECT, "text", "single_label", BACKBONE)
        rows = [NewSample(f"{number} {n}", f"{number:060d}{n:04d}", f"g{n}", LABELS[n % len(LABELS)]) for n in range(4)]
        ids = tuple(row.id or "" for row in self._samples.add(project.id, rows))
        for version in range(versions):
            self._publish(project, ids, random_head(number + version, self._space.dim, classes), version or None)
        return Filled(tenant.id, key)

    def _publish(self, project: Project, ids: tuple[str, ...], head: RandomHead, live: int | None) -> None:
        snapshot = Snapshot(
            self._database.ids.new("snp"), project.id, ids, LABELS, (0, 1, 0, 1), (0, 0, 1, 1), (0, 1, 2, 3)
        )
        graft = Graft("head", self._space.id, Head(head.weight, head.bias, 1.0, head.labels))
        adaptation = self._adaptations.create(project.id, {"method": "head"})
        new = NewVersion(graft, snapshot, BACKBONE, {"report": {}, "held_out": {}}, {}, {})
        attempt = self._adaptations.start(adaptation.id)
        self._registry.publish(project.id, new, adaptation.id, attempt, LIVE, live, {}, {}, "bench")
