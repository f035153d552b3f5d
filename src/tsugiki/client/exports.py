"""Exports: versions as files that run without the service."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tsugiki.client.projects import path_of
from tsugiki.client.replies import Export, Project
from tsugiki.client.transport import Transport, segment
from tsugiki.client.waiting import until_finished


@dataclass(frozen=True, slots=True)
class Exports:
    transport: Transport

    def create(
        self,
        project: str | Project,
        version: int,
        *,
        precision: Literal["fp32", "int8"] = "fp32",
        wait_seconds: float = 0,
    ) -> Export:
        """The export of a version, made once for each precision; waits up to `wait_seconds` (0..60) for it."""
        body = {"format": "onnx", "precision": precision, "wait_seconds": wait_seconds}
        path = f"{path_of(project)}/versions/{segment(version)}/exports"
        return Export.of(self.transport.post(path, body, wait_s=wait_seconds))

    def get(self, export: str | Export) -> Export:
        return Export.of(self.transport.get(_path(export)))

    def wait(self, export: str | Export, *, timeout_s: float = 600.0) -> Export:
        """The export once it succeeded or failed. Raises TimeoutError; the job then goes on."""
        return until_finished(lambda: self.get(export), timeout_s)

    def download(self, export: Export, path: str | Path) -> Path:
        """Writes the zip to `path`, whole or not at all. Raises OSError where its sha256 is not the export's."""
        path = Path(path)
        part = path.with_name(path.name + ".part")
        digest = hashlib.sha256()
        try:
            with self.transport.stream(f"{_path(export)}/content") as response, part.open("wb") as file:
                for piece in response.iter_bytes():
                    digest.update(piece)
                    file.write(piece)
            if export.sha256 not in (None, digest.hexdigest()):
                raise OSError(f"{path.name}: sha256 is {digest.hexdigest()}, expected {export.sha256}: download again")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path


def _path(export: str | Export) -> str:
    return f"/v1/exports/{segment(export.id if isinstance(export, Export) else export)}"
