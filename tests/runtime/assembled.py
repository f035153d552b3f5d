"""The serving half of the core on a real store and the tiny backbone, with what a test may want to exchange."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import numpy as np

from tests.runtime.adapting import shapes_of
from tsugiki.backbones import Loaded
from tsugiki.domain import (
    LIVE,
    Delta,
    Graft,
    Head,
    HeadScope,
    LoraDelta,
    NewVersion,
    Policy,
    Project,
    Snapshot,
    Version,
    WeightsDelta,
)
from tsugiki.ports import Engine
from tsugiki.runtime.admission import Limits
from tsugiki.runtime.banks import Banks, Weight
from tsugiki.runtime.directory import Directory
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.loras import LoraBank
from tsugiki.runtime.predictor import Predictor
from tsugiki.runtime.residency import Residency
from tsugiki.runtime.served import Engines, ServedBackbones
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import Database
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.projects import Projects
from tsugiki.storage.registry import Registry
from tsugiki.storage.tenants import Tenants

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

ROOMY = Weight(64 << 20, 64 << 20, 64 << 20)
MakeResidency = Callable[[Callable[[Version], Banks], Callable[[Version], Graft], Weight], Residency]


@dataclass(frozen=True, slots=True)
class Assembled:
    """`engine` is the one that serves; asked alone it gives the reference for everything."""

    tiny: Loaded
    engine: Engine
    tenants: Tenants
    projects: Projects
    adaptations: Adaptations
    registry: Registry
    database: Database
    backbones: ServedBackbones
    directory: Directory
    residency: Residency
    predictor: Predictor
    networks: dict[str, Engine] = field(default_factory=dict[str, Engine])  # made to compare with, by digest

    def project(self, name: str, tenant: str, policy: Policy | None = None) -> Project:
        known = {found.name: found.id for found in self.tenants.list().data}
        tenant_id = known.get(tenant) or self.tenants.create(tenant).id
        return self.projects.create(tenant_id, name, "text", "single_label", "tiny", policy=policy)

    def publish(
        self,
        project: Project,
        labels: Sequence[str],
        seed: int,
        *,
        space: str | None = None,
        delta: Delta | None = None,
        reach: float | None = None,
    ) -> Version:
        """A version whose head is drawn by the seed, made live. `reach`: its scope ends at this squared distance."""
        head_only = drawn(tuple(labels), self.tiny.backbone.space.dim, space or self.tiny.backbone.space.id, seed)
        head = head_only.head
        if reach is not None:
            head = replace(head, scope=HeadScope(head.weight, 0.0, -reach))
        return self.publish_graft(project, replace(head_only, head=head, delta=delta))

    def publish_graft(self, project: Project, graft: Graft) -> Version:
        """Made live."""
        labels = graft.head.labels
        alias = self.registry.alias(project.id, LIVE)
        live = None if alias is None else alias.version
        job = self.adaptations.create(project.id, {})
        attempt = self.adaptations.start(job.id)
        snapshot_id, places = self.database.ids.new("snp"), tuple(range(len(labels)))
        snapshot = Snapshot(snapshot_id, project.id, labels, labels, places, (0,) * len(labels), places)
        # Held-out precision by threshold, as an evaluation tells it: shown to be 0.8 of all rows, 1 of those above 0.9.
        points = [{"threshold": 0.0, "ci95": [0.8, 0.9]}, {"threshold": 0.9, "ci95": [1.0, 1.0]}]
        told = {"risk_coverage": points, "thresholds": []}
        new = NewVersion(graft, snapshot, "tiny", {"report": told, "held_out": {}}, {}, {})
        return self.registry.publish(project.id, new, job.id, attempt, LIVE, live, {"reason": "drawn"}, {}, job.id)

    def alone(self, version: Version, text: str) -> Floats:
        """What the version answers to the text alone, (classes,): a pass of one row, the head in double precision."""
        graft = self.registry.graft(version)
        head = graft.head
        (prepared,) = self.tiny.backbone.prepare([text])
        feature = self._feature(version, graft, prepared.row).astype(np.float64)
        logits = (head.weight.astype(np.float64) @ feature + head.bias) / head.temperature
        raised = np.exp(logits - logits.max())
        return (raised / raised.sum()).astype(np.float32)

    def _feature(self, version: Version, graft: Graft, row: InputRow) -> Floats:
        match graft.delta:
            case None:
                return self.engine.run([row])[0]
            case LoraDelta():
                # A bank that nothing else is in.
                bank = LoraBank(lambda: shapes_of(self.tiny.graph), "float32", 0)
                slot = bank.load(graft.delta)
                return self.engine.run([row], bank.adapters(slot.rack, np.array([slot.index])))[0]
            case WeightsDelta():
                if version.digest not in self.networks:
                    self.networks[version.digest] = make("onnxruntime", self.tiny, graft.delta, Cores(1, 1))
                return self.networks[version.digest].run([row])[0]
            case _:
                assert_never(graft.delta)


def drawn(labels: tuple[str, ...], dim: int, space: str, seed: int) -> Graft:
    random = np.random.default_rng(seed)
    weight = (3 * random.standard_normal((len(labels), dim))).astype(np.float32)
    return Graft("head", space, Head(weight, random.standard_normal(len(labels)).astype(np.float32), 0.7, labels))


@contextmanager
def assembled(
    home: Path,
    tiny: Loaded,
    *,
    budget: Weight = ROOMY,
    engine: Engine | None = None,
    limits: Limits | None = None,
    make_residency: MakeResidency = Residency,
    make_predictor: Callable[[Directory, Residency, ServedBackbones], Predictor] = Predictor,
) -> Generator[Assembled]:
    database = Database(home)
    database.migrate()
    blobs = Blobs(LocalFiles(home / "blobs"))
    projects = Projects(database, blobs)
    registry = Registry(database, blobs, on_move=lambda project_id: directory.forget(project_id))
    directory = Directory(registry)
    real = OnnxEngine(tiny, threads=1)

    def make_engine(files: Loaded, delta: WeightsDelta | None) -> Engine:
        return engine or real if delta is None else make("onnxruntime", files, delta, Cores(2, 1))

    backbones = ServedBackbones(
        ["tiny"],
        lambda name: tiny,
        Engines(make_engine, make_engine),
        workers=2,
        limits=limits or Limits(),
        budget=budget,
    )
    residency = make_residency(lambda version: backbones.of(version).banks, registry.graft, budget)
    yield Assembled(
        tiny=tiny,
        engine=real,
        tenants=Tenants(database),
        projects=projects,
        adaptations=Adaptations(database),
        registry=registry,
        database=database,
        backbones=backbones,
        directory=directory,
        residency=residency,
        predictor=make_predictor(directory, residency, backbones),
    )
    backbones.close()
    database.close()
