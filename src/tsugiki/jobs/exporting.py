"""Exports: a version becomes a zip that answers as the service does, or is refused."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tsugiki.errors import Conflict, TsugikiError
from tsugiki.jobs.lane import Lane

if TYPE_CHECKING:
    from tsugiki.backbones.loaded import Loaded
    from tsugiki.domain import Export, Floats, Graft, Json, Precision, Project, Version
    from tsugiki.storage.blobs import Blobs
    from tsugiki.storage.exports import Exports
    from tsugiki.storage.registry import Registry
    from tsugiki.storage.samples import Samples

log = logging.getLogger(__name__)

PARITY_ROWS = 200  # samples the export and the service are compared on

Answers = Callable[["Project", "Version", Sequence[str]], "Floats"]
"""The service's own probabilities (texts, classes) by one version."""


class Built(Protocol):
    """What building a bundle yields."""

    @property
    def bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def certificate(self) -> Json: ...
    @property
    def latency(self) -> Json: ...


class Build(Protocol):
    """Writes the zip. Raises ParityMissed."""

    def __call__(
        self,
        destination: Path,
        loaded: Loaded,
        graft: Graft,
        facts: Json,
        precision: Precision,
        texts: Sequence[str],
        reference: Floats,
    ) -> Built: ...


@dataclass(frozen=True, slots=True)
class ExportStores:
    exports: Exports
    registry: Registry
    samples: Samples
    blobs: Blobs


class Exporting:
    """Runs exports one at a time: each holds a few copies of a model in memory."""

    def __init__(
        self, stores: ExportStores, loaded_of: Callable[[str], Loaded], answers: Answers, build: Build, stage: Path
    ) -> None:
        self._stores = stores
        self._loaded_of = loaded_of
        self._answers = answers
        self._build = build
        self._stage = stage
        self._lane = Lane("export", 1)

    def submit(self, project: Project, export: Export) -> Future[None]:
        """Done when the export has succeeded or failed."""
        return self._lane.submit(project.tenant_id, lambda: self._run(project, export))

    def close(self) -> None:
        self._lane.close()

    def _run(self, project: Project, export: Export) -> None:
        try:
            self._export(project, export)
        except TsugikiError as error:
            log.warning("export %s refused: %s", export.id, error.reason)
            self._fail(export, error)
        except Exception as error:
            log.exception("export %s failed", export.id)
            self._fail(export, TsugikiError(f"the export failed ({type(error).__name__}); the log has the reason"))

    def _export(self, project: Project, export: Export) -> None:
        stores = self._stores
        version = stores.registry.get(project.id, export.version)
        texts = [row.content for row in stores.samples.labelled(project.id)]
        if not texts:
            raise Conflict("the project has no samples to compare the export with the service on", fix="add samples")
        texts = texts[:: -(-len(texts) // PARITY_ROWS)]
        facts: Json = {"number": version.number, "digest": version.digest, "created_at": version.created_at.isoformat()}
        self._stage.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._stage) as folder:
            zipped = Path(folder) / "export.zip"
            built = self._build(
                zipped,
                self._loaded_of(version.backbone),
                stores.registry.graft(version),
                facts,
                export.precision,
                texts,
                self._answers(project, version, texts),
            )
            sha256 = stores.blobs.put_file(project.id, zipped)
        stores.exports.finish(export.id, built.bytes, sha256, built.certificate, built.latency)

    def _fail(self, export: Export, error: TsugikiError) -> None:
        self._stores.exports.fail(export.id, {"code": error.reason, "detail": error.detail, "fix": error.fix})
