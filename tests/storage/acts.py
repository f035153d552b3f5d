"""What is killed in the middle: each act on a home that `furnish` made, done by the stores a service uses.

Those with a longer name are faults that the tests must find: an act's parts in an order which a crash can part.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np
from sqlalchemy import delete

from tests.storage.making import Stores, new_version, open_stores, sample
from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.domain import LIVE
from tsugiki.errors import Issue
from tsugiki.jobs.exporting import Exporting, ExportStores
from tsugiki.storage.aliases import UNSET, move
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.exports import Exports
from tsugiki.storage.features import Features
from tsugiki.storage.fixes import Aside, quarantine
from tsugiki.storage.presence import ALONE
from tsugiki.storage.registry import Registry
from tsugiki.storage.tables import AliasMoveRow

if TYPE_CHECKING:
    from tsugiki.backbones import Loaded
    from tsugiki.domain import Content, Floats, Graft, Json, Precision, Project, Version

Act = Literal["publish", "delete", "rollback", "export"]
Fault = Literal[
    "publish_rows_first",
    "publish_quarantine_apart",
    "delete_blobs_first",
    "rollback_history_apart",
    "export_row_first",
]
ACTS: tuple[Act, ...] = get_args(Act)
# What is told of each fault at some point.
FOUND: dict[Fault, str] = {
    "publish_rows_first": "missing",
    "publish_quarantine_apart": "the version is out and its quarantine is not",
    "delete_blobs_first": "missing",
    "rollback_history_apart": "the alias is not where its history ends",
    "export_row_first": "a finished export has no file",
}
Do = Callable[[], str]  # returns what is acknowledged
SPACE = "fsp_tiny"


def furnish(stores: Stores) -> None:
    """Versions 1 and 2, the second live, a sample with its features, an adaptation running, version 1 exported."""
    project = stores.project()
    (made,) = stores.samples.add(project.id, [sample("a", "no")])
    Features(stores.database).save(project.id, SPACE, [str(made.id)], np.ones((1, 4), np.float32))
    stores.publish(project)
    stores.publish(project, expected=1, fill=1.5)
    stores.adaptations.start(stores.adaptations.create(project.id, {}).id)
    exports = Exports(stores.database, stores.blobs)
    export(stores, exports.begin(project.id, 1, "fp32").id)
    exports.begin(project.id, 2, "fp32")


def begin(home: Path, act: Act | Fault, step: Callable[[], None] = lambda: None) -> Do:
    """All that comes before; `step` is called once a move is durable and nobody has been told."""
    stores = open_stores(home)
    (tenant,) = stores.tenants.list().data
    project = stores.projects.get(tenant.id, "support")
    match act:
        case "publish" | "publish_rows_first" | "publish_quarantine_apart":
            return lambda: _publish(stores, project, act, step)
        case "delete":
            return lambda: str(stores.projects.delete(project))
        case "delete_blobs_first":
            return lambda: _blobs_first(stores, project)
        case "rollback":
            registry = Registry(stores.database, stores.blobs, lambda _: step())
            return lambda: str(registry.rollback(project.id, LIVE, "test").version)
        case "rollback_history_apart":
            return lambda: _history_apart(stores, project)
        case "export":
            return lambda: export(stores, waiting_export(stores))
        case "export_row_first":
            return lambda: _row_first(stores, project)


class LateBlobs(Blobs):
    """Answers before it has written, so that rows come before their blobs."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._late: list[tuple[str, bytes]] = []

    def put(self, owner: str, data: bytes) -> str:
        self._late.append((owner, data))
        return hashlib.sha256(data).hexdigest()

    def put_file(self, owner: str, source: Path) -> str:
        return self.put(owner, source.read_bytes())

    def write(self, project_id: str) -> None:
        for owner, data in self._late:
            self._blobs.put(owner, data)


def waiting_export(stores: Stores) -> str:
    (left,) = Exports(stores.database, stores.blobs).take_over({ALONE})
    return left.id


def export(stores: Stores, export_id: str, blobs: Blobs | None = None) -> str:
    """The job that makes it, here and now; a zip of a few bytes, for nothing here reads what is in it."""
    exports = Exports(stores.database, stores.blobs)
    (tenant,) = stores.tenants.list().data
    project = stores.projects.get(tenant.id, "support")
    parts = ExportStores(exports, stores.registry, stores.samples, blobs or stores.blobs)
    decoder = DecoderPool(1)
    jobs = Exporting(parts, _unread, _answers, _build, decoder, stores.home / "staging")
    jobs.submit(project, exports.get(tenant.id, export_id)).result()
    jobs.close()
    decoder.close()
    return export_id


def _publish(stores: Stores, project: Project, act: str, step: Callable[[], None]) -> str:
    late = LateBlobs(stores.blobs)
    registry = Registry(stores.database, stores.blobs, lambda _: step())
    if act == "publish_rows_first":
        registry = Registry(stores.database, late, late.write)
    (job,) = stores.adaptations.take_over({ALONE})
    new = new_version(project, stores.database.ids.new("snp"), fill=2)
    (suspect,) = stores.samples.list(project.id).data
    aside = Aside({str(suspect.id): Issue("label_suspect", "/label", "suspect", "look")}, {str(suspect.id): "no"})
    apart = act == "publish_quarantine_apart"
    gate = {"reason": "better"}
    version = registry.publish(
        project.id, new, job.id, job.attempts, LIVE, 2, gate, {}, job.id, aside=None if apart else aside
    )
    if apart:
        with stores.database.write() as session:
            quarantine(session, project.id, aside)
    return str(version.number)


def _blobs_first(stores: Stores, project: Project) -> str:
    stores.blobs.delete_owner(project.id)
    return str(stores.projects.delete(project))


def _row_first(stores: Stores, project: Project) -> str:
    late = LateBlobs(stores.blobs)
    export_id = export(stores, waiting_export(stores), late)
    late.write(project.id)
    return export_id


def _history_apart(stores: Stores, project: Project) -> str:
    now = stores.database.now()
    with stores.database.write() as session:
        move(session, project.id, LIVE, 1, UNSET, "rollback", "rollback", "test", now)
        session.flush()
        session.execute(delete(AliasMoveRow).where(AliasMoveRow.kind == "rollback"))
    with stores.database.write() as session:
        told = {"from_version": 2, "to_version": 1, "reason": "rollback", "actor": "test", "at": now}
        session.add(AliasMoveRow(project_id=project.id, alias=LIVE, kind="rollback", **told))
    return "1"


@dataclass(frozen=True, slots=True)
class _Zip:
    bytes: int
    sha256: str
    certificate: Json = field(default_factory=dict[str, object])
    latency: Json = field(default_factory=dict[str, object])


def _build(
    destination: Path,
    loaded: Loaded,
    graft: Graft,
    facts: Json,
    precision: Precision,
    inputs: Sequence[Content],
    reference: Floats,
    check: Callable[[], None],
    abstain_below: float | None,
    over: Literal["samples", "labels"],
) -> _Zip:
    with zipfile.ZipFile(destination, "w") as archive:
        archive.writestr("head", graft.head.weight.tobytes())
        archive.writestr("labels.json", str(graft.head.labels))
    data = destination.read_bytes()
    return _Zip(len(data), hashlib.sha256(data).hexdigest())


def _answers(project: Project, version: Version, inputs: Sequence[Content]) -> Floats:
    return np.zeros((len(inputs), len(version.labels)), np.float32)


def _unread(version: Version) -> Loaded:
    return cast("Loaded", None)
