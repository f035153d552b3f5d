"""Exports: a version becomes a zip that answers as the service does, or is refused."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tsugiki.errors import Conflict, NotFound, TsugikiError
from tsugiki.jobs.lane import MAX_ATTEMPTS, Lane
from tsugiki.jobs.recorder import Recorder

if TYPE_CHECKING:
    from tsugiki.backbones.loaded import Loaded
    from tsugiki.domain import Export, Floats, Graft, Json, Precision, Project, Version
    from tsugiki.storage.blobs import Blobs
    from tsugiki.storage.exports import Exports
    from tsugiki.storage.registry import Registry
    from tsugiki.storage.samples import Samples

log = logging.getLogger(__name__)

WORK = "work"  # the folder of an attempt's files within its export's own
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
        self._recorder = Recorder()
        self._lane = Lane("export", 1)

    def submit(self, project: Project, export: Export) -> Future[None]:
        """Done when the export has succeeded or failed."""
        return self._lane.submit(project.tenant_id, lambda: self._run(project, export))

    def close(self) -> None:
        self._recorder.close()
        self._lane.close()

    def _run(self, project: Project, export: Export) -> None:
        try:
            self._recorder.insist(lambda: self._stores.exports.start(export.id))
            with self._staged(export) as folder:
                self._export(project, export, folder)
        except TsugikiError as error:
            log.warning("export %s refused: %s", export.id, error.reason)
            self._fail(project, export, error)
        except Exception as error:
            log.exception("export %s failed", export.id)
            cause = TsugikiError(f"the export failed ({type(error).__name__}); the service's log has the reason")
            self._fail(project, export, cause)

    def _export(self, project: Project, export: Export, folder: Path) -> None:
        stores = self._stores
        version = stores.registry.get(project.id, export.version)
        texts = [row.content for row in stores.samples.labelled(project.id)]
        if not texts:
            raise Conflict("the project has no samples to compare the export with the service on", fix="add samples")
        texts = texts[:: -(-len(texts) // PARITY_ROWS)]
        facts: Json = {"number": version.number, "digest": version.digest, "created_at": version.created_at.isoformat()}
        zipped = folder / "export.zip"
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

    @contextmanager
    def _staged(self, export: Export) -> Generator[Path]:
        """A folder for one attempt's files. Only a process that was killed leaves it behind, and that is counted."""
        folder = self._stage / export.id
        work = folder / WORK
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            attempts = len(list(folder.glob("attempt-*"))) + 1
            if attempts > MAX_ATTEMPTS:
                raise TsugikiError(f"the export ended its process {MAX_ATTEMPTS} times", code="attempts_exhausted")
            (folder / f"attempt-{attempts}").touch()
            yield work
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fail(self, project: Project, export: Export, error: TsugikiError) -> None:
        problem: Json = {"code": error.reason, "detail": error.detail, "fix": error.fix}
        try:
            self._recorder.insist(lambda: self._stores.exports.fail(export.id, problem))
        except NotFound:
            # An export's row goes only with its project, and then no file of it may stay.
            self._stores.blobs.delete_owner(project.id)
        except Conflict:
            log.info("export %s had ended already", export.id)
