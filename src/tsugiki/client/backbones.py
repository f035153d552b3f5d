"""The backbones that the service has, and which suits a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tsugiki.client.replies import Project
from tsugiki.client.transport import Json, Transport


@dataclass(frozen=True, slots=True)
class Backbones:
    transport: Transport

    def list(self) -> list[Json]:
        """The networks the operator offers, with licence and sha256."""
        return list(self.transport.pages("/v1/backbones"))

    def recommend(
        self,
        *,
        modality: Literal["text", "image", "audio"] = "text",
        language: str | None = None,
        project: str | Project | None = None,
    ) -> list[Json]:
        """Best first, each with its reasons; with a project each is tried on its samples: minutes the first time."""
        body: Json = {"modality": modality, "language": language}
        if project is not None:
            body["project"] = project if isinstance(project, str) else project.id
        return self.transport.post("/v1/backbones/recommend", body)["data"]
