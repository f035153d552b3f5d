"""Versions of a project, and the aliases that say which of them is served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tsugiki.client.projects import path_of
from tsugiki.client.replies import Alias, Project, Version
from tsugiki.client.transport import Call, Json, Transport, segment

LIVE = "live"


@dataclass(frozen=True, slots=True)
class Versions:
    transport: Transport

    def list(self, project: str | Project) -> Iterator[Version]:
        return map(Version.of, self.transport.pages(f"{path_of(project)}/versions"))

    def get(self, project: str | Project, version: int) -> Version:
        return Version.of(self.transport.get(_path(project, version)))

    def evaluation(self, project: str | Project, version: int) -> Json:
        return self.transport.get(f"{_path(project, version)}/evaluation")

    def audit(self, project: str | Project, version: int, *, code: str | None = None) -> Json:
        """What was found in the samples the version was trained on, of one code or all; `audits` fixes it."""
        return self.transport.get(f"{_path(project, version)}/audit", code=code)

    def card(self, project: str | Project, version: int) -> str:
        """The model card, in Markdown."""
        return self.transport.text(f"{_path(project, version)}/card")

    def aliases(self, project: str | Project) -> dict[str, Alias]:
        return {raw["name"]: Alias.of(raw) for raw in self.transport.pages(f"{path_of(project)}/aliases")}

    def move_alias(
        self, project: str | Project, version: int, *, alias: str = LIVE, expected_version: int | None = None
    ) -> Alias:
        """Serves `version` under the alias; TsugikiProblem 409 where it is not at `expected_version` any more."""
        body: Json = {"version": version}
        if expected_version is not None:
            body["expected_version"] = expected_version
        return Alias.of(self.transport.send(Call("PUT", _alias_path(project, alias), body=body)))

    def rollback(self, project: str | Project, *, alias: str = LIVE) -> Alias:
        """Moves the alias back to the version before."""
        return Alias.of(self.transport.post(f"{path_of(project)}/rollback", {"alias": alias}))

    def history(self, project: str | Project, *, alias: str = LIVE) -> list[Json]:
        """Every move of the alias, newest first: from, to, why, by whom."""
        return list(self.transport.pages(f"{_alias_path(project, alias)}/history"))


def _path(project: str | Project, version: int) -> str:
    return f"{path_of(project)}/versions/{segment(version)}"


def _alias_path(project: str | Project, alias: str) -> str:
    return f"{path_of(project)}/aliases/{segment(alias)}"
