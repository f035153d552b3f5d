"""The client: the two verbs, and one attribute for each kind of object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from tsugiki.client.adaptations import Adaptations
from tsugiki.client.admin import Admin
from tsugiki.client.audits import Audits
from tsugiki.client.backbones import Backbones
from tsugiki.client.exports import Exports
from tsugiki.client.inputs import Input, Modality, NewSample, chunks, listed, modality_of, on_wire, sample_on_wire
from tsugiki.client.problem import TsugikiProblem
from tsugiki.client.projects import Projects, path_of
from tsugiki.client.replies import Adapted, Predictions, Project
from tsugiki.client.samples import Samples, merged
from tsugiki.client.transport import Call, Json, Transport, segment
from tsugiki.client.versions import Versions

KEY_VARIABLE = "TSUGIKI_KEY"
URL_VARIABLE = "TSUGIKI_URL"
DEFAULT_URL = "http://127.0.0.1:3000"  # where the service listens unless told otherwise
PROJECT_ID = "proj_"  # how ids begin, and no name may
CONFLICT = 409  # of a name that is taken
MAX_INPUTS = 1_024  # a prediction request: the interface's limit


class Client:
    """A tenant's client; thread-safe, one pool of connections. Close it, or use it in `with`.

    Methods raise TsugikiProblem where the service refuses, httpx.TransportError where it cannot be reached.
    429 and 503 are tried again a few times, as long after as the service asks; POSTs carry an Idempotency-Key, so
    that no retry does the work twice.
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout_s: float = 60.0) -> None:
        """`url` defaults to the environment's TSUGIKI_URL, then to this machine's port 3000.

        `key` defaults to the environment's TSUGIKI_KEY; raises ValueError where neither is given.
        """
        url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        key = key or os.environ.get(KEY_VARIABLE)
        if not key:
            raise ValueError(f"no key: pass key=..., or set {KEY_VARIABLE} (a first start writes one to bootstrap-key)")
        self._transport = Transport(url, key, timeout_s)
        self.projects = Projects(self._transport)
        self.samples = Samples(self._transport)
        self.adaptations = Adaptations(self._transport)
        self.versions = Versions(self._transport)
        self.audits = Audits(self._transport)
        self.exports = Exports(self._transport)
        self.backbones = Backbones(self._transport)
        self.admin = Admin(self._transport)

    def adapt(
        self,
        project: str | Project,
        samples: Iterable[NewSample] = (),
        *,
        modality: Modality | None = None,
        task: Literal["single_label", "multi_label"] = "single_label",
        method: str = "auto",
        wait_seconds: float = 10,
    ) -> Adapted:
        """Adds samples and adapts; the project is created if new.

        `modality` and `task` are those of a new one: `modality` None is the first sample's, a file's by its first
        bytes (ValueError where they say neither picture nor sound). With several labels a sample's label is a list,
        perhaps empty.

        What fits one request (10,000 samples, 8 MiB) is refused or taken as a whole. Of more, all but the last part
        goes ahead as by `samples.add`, for which the key needs the scope `annotate` too.

        Waits up to `wait_seconds` (0..60) for the new version; `adaptations.wait` waits longer.
        """
        pieces = chunks(map(sample_on_wire, samples))
        rows = next(pieces, list[Json]())
        modality = modality or modality_of(rows)
        ahead: list[Json] = []
        for following in pieces:
            if not ahead:
                self._ensure(str(project), modality, task)
            ahead.append(self._transport.post(f"{path_of(project)}/samples", {"samples": rows}))
            rows = following
        body: Json = {
            "project": str(project),
            "modality": modality,
            "task": task,
            "samples": rows,
            "method": method,
            "wait_seconds": wait_seconds,
        }
        reply = self._transport.post("/adapt", body, wait_s=wait_seconds)
        return Adapted.of({**reply, "samples": merged([*ahead, reply["samples"]])} if ahead else reply)

    def predict(
        self,
        project: str | Project,
        inputs: Input | Mapping[str, Any] | Iterable[Input | Mapping[str, Any]],
        *,
        top_k: int = 1,
        version: int | None = None,
        alias: str | None = None,
        truncate: Literal["END", "NONE"] = "END",
    ) -> Predictions:
        """Answers in the order of `inputs`, of any number, all by one version: `version`, or the alias's (`live`).

        They go in requests of at most 1,024 and 8 MiB (files as base64, a third longer). A bad input has its `problem`
        in place; TsugikiProblem 422 where all inputs of a request are bad.
        """
        given = listed(inputs)
        replies: list[Json] = []
        for rows in chunks(map(on_wire, given), MAX_INPUTS) if given else [[]]:
            body = {"inputs": rows, "top_k": top_k, "truncate": truncate}
            path = f"/v1/projects/{segment(str(project))}/predict"
            replies.append(self._transport.send(Call("POST", path, _pin(version, alias), body, reads=True)))
            # An alias may move between two requests: the later ones ask for what the first one got.
            version = replies[0]["version"]
        return Predictions.of(replies)

    def _ensure(self, name: str, modality: Modality, task: Literal["single_label", "multi_label"]) -> None:
        """That the project is there; one that is stays as it is."""
        if name.startswith(PROJECT_ID):
            return
        try:
            self.projects.create(name, modality=modality, task=task)
        except TsugikiProblem as problem:
            if problem.status != CONFLICT:
                raise

    def me(self) -> Json:
        """The key's tenant, scopes, quotas and usage."""
        return self._transport.get("/v1/me")

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _pin(version: int | None, alias: str | None) -> Json:
    """The query that names a version; a number wins over an alias."""
    return {"version": version} if version is not None else {"alias": alias}
