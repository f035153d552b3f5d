"""Projects: one classifier each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tsugiki.client.replies import Project
from tsugiki.client.transport import Call, Json, Transport, segment


def path_of(project: str | Project) -> str:
    """A project is addressed by its name or its id."""
    return f"/v1/projects/{segment(str(project))}"


@dataclass(frozen=True, slots=True)
class Projects:
    transport: Transport

    def create(
        self,
        name: str,
        *,
        modality: Literal["text", "image", "audio"] = "text",
        task: Literal["single_label", "multi_label"] = "single_label",
        labels: Sequence[str | Mapping[str, str]] | None = None,
        backbone: str = "auto",
        policy: Json | None = None,
    ) -> Project:
        """`labels` are names, or mappings with `name` and `description`."""
        body: Json = {"name": name, "modality": modality, "task": task, "backbone": backbone}
        if labels is not None:
            body["labels"] = _labels(labels)
        if policy is not None:
            body["policy"] = policy
        return Project.of(self.transport.post("/v1/projects", body))

    def get(self, project: str | Project) -> Project:
        return Project.of(self.transport.get(path_of(project)))

    def list(self) -> Iterator[Project]:
        return map(Project.of, self.transport.pages("/v1/projects"))

    def update(
        self,
        project: str | Project,
        *,
        name: str | None = None,
        labels: Sequence[str | Mapping[str, str]] | None = None,
        policy: Json | None = None,
        backbone: str | None = None,
    ) -> Project:
        """Sets what is given; the rest stays. Versions keep the backbone they were made on."""
        given = {"name": name, "labels": None if labels is None else _labels(labels), "policy": policy}
        given["backbone"] = backbone
        changes = {field: value for field, value in given.items() if value is not None}
        return Project.of(self.transport.send(Call("PATCH", path_of(project), body=changes)))

    def delete(self, project: str | Project) -> None:
        """Erases the project with its samples, features, versions and files."""
        self.transport.send(Call("DELETE", path_of(project)))


def _labels(labels: Sequence[str | Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"name": label} if isinstance(label, str) else dict(label) for label in labels]
