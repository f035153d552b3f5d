"""Adaptations: jobs that turn samples into versions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tsugiki.client.projects import path_of
from tsugiki.client.replies import Adaptation, Project
from tsugiki.client.transport import Json, Transport, segment
from tsugiki.client.waiting import until_finished

NOTHING_MORE = 204  # of a stream that goes on after its end
DATA = "data: "
AGAIN_AFTER_S = 0.5  # where a stream ended without news: the service is about to end, and another one answers soon
Value = str | float | bool | None  # of a hyperparameter; an int is a float here


@dataclass(frozen=True, slots=True)
class Adaptations:
    transport: Transport

    def start(
        self,
        project: str | Project,
        *,
        method: str = "auto",
        budget_s: float | None = None,
        hyperparameters: Mapping[str, Value] | None = None,
        promote: Literal["gate", "always", "never"] = "gate",
        wait_seconds: float = 0,
    ) -> Adaptation:
        """Adapts to the project's samples as they are now, and waits up to `wait_seconds` (0..60) for the version.

        `hyperparameters` are the method's, such as `{"rank": 8}` of lora; every method, and `auto`, takes a `seed`.
        """
        body: Json = {"promote": promote, "wait_seconds": wait_seconds, **_wish(method, budget_s, hyperparameters)}
        return Adaptation.of(self.transport.post(f"{path_of(project)}/adaptations", body, wait_s=wait_seconds))

    def plan(
        self,
        project: str | Project,
        *,
        method: str = "auto",
        budget_s: float | None = None,
        hyperparameters: Mapping[str, Value] | None = None,
    ) -> Json:
        """What `start` would do now: the method chosen, why, and what the others would cost. Trains nothing."""
        body: Json = {"dry_run": True, **_wish(method, budget_s, hyperparameters)}
        return self.transport.post(f"{path_of(project)}/adaptations", body)["plan"]

    def get(self, adaptation: str | Adaptation) -> Adaptation:
        return Adaptation.of(self.transport.get(_path(adaptation)))

    def list(self, project: str | Project) -> Iterator[Adaptation]:
        return map(Adaptation.of, self.transport.pages(f"{path_of(project)}/adaptations"))

    def wait(self, adaptation: str | Adaptation, *, timeout_s: float = 600.0) -> Adaptation:
        """The adaptation once it succeeded, failed or was cancelled. Raises TimeoutError; the job then goes on."""
        return until_finished(lambda: self.get(adaptation), timeout_s)

    def cancel(self, adaptation: str | Adaptation) -> Adaptation:
        return Adaptation.of(self.transport.post(f"{_path(adaptation)}/cancel"))

    def events(self, adaptation: str | Adaptation) -> list[Json]:
        """What happened so far: phases, metrics, messages, in order."""
        return list(self.transport.pages(f"{_path(adaptation)}/events"))

    def follow(self, adaptation: str | Adaptation, *, after: int = 0) -> Iterator[Json]:
        """Each event with an id above `after` as it comes, until the adaptation has ended.

        httpx.TransportError where the stream breaks: `after` the last id that came, it goes on.
        """
        path = f"{_path(adaptation)}/events"
        while True:
            before = after
            with self.transport.stream(path, "text/event-stream", str(after)) as reply:
                if reply.status_code == NOTHING_MORE:
                    return
                for line in reply.iter_lines():
                    if line.startswith(DATA):
                        event: Json = json.loads(line.removeprefix(DATA))
                        after = event["id"]
                        yield event
            if after == before:
                time.sleep(AGAIN_AFTER_S)


def _path(adaptation: str | Adaptation) -> str:
    return f"/v1/adaptations/{segment(adaptation.id if isinstance(adaptation, Adaptation) else adaptation)}"


def _wish(method: str, budget_s: float | None, hyperparameters: Mapping[str, Value] | None) -> Json:
    budget: Json = {} if budget_s is None else {"budget": {"seconds": budget_s}}
    return {"method": method, **budget, **({"hyperparameters": dict(hyperparameters)} if hyperparameters else {})}
