"""Samples of a project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tsugiki.client.inputs import NewSample, chunks, sample_on_wire
from tsugiki.client.projects import path_of
from tsugiki.client.replies import Project, SampleBatch
from tsugiki.client.transport import Call, Json, Transport, segment

COUNTS = ("accepted", "duplicates", "quarantined", "rejected")


@dataclass(frozen=True, slots=True)
class Samples:
    transport: Transport

    def add(
        self,
        project: str | Project,
        samples: Iterable[NewSample],
        *,
        on_error: Literal["skip", "fail"] | None = None,
        validate_only: bool = False,
    ) -> SampleBatch:
        """Any number of samples, read and sent in chunks of at most 10,000 and 8 MiB (files as base64, a third longer).

        Bad rows are told in the batch; with `on_error="fail"` none of a chunk with one is stored: TsugikiProblem 422.
        """
        params = {"on_error": on_error, "validate_only": validate_only or None}
        path = f"{path_of(project)}/samples"
        return SampleBatch.of(
            merged(
                self.transport.send(Call("POST", path, params, {"samples": rows}))
                for rows in chunks(map(sample_on_wire, samples))
            )
        )

    def list(
        self,
        project: str | Project,
        *,
        label: str | None = None,
        source: str | None = None,
        issue: str | None = None,
    ) -> Iterator[Json]:
        """Every sample that fits, fetched a page at a time."""
        return self.transport.pages(f"{path_of(project)}/samples", label=label, source=source, issue=issue)

    def get(self, project: str | Project, sample: str) -> Json:
        """Of a picture or sound `input` is `{"sha256": ...}`; `content` has it."""
        return self.transport.get(_path(project, sample))

    def content(self, project: str | Project, sample: str) -> bytes:
        """The input as it was sent: the file's bytes, or the text in UTF-8."""
        return self.transport.content(f"{_path(project, sample)}/content")

    def relabel(self, project: str | Project, sample: str, label: str | Sequence[str]) -> Json:
        """`label` is a list, perhaps empty, where a sample may have several."""
        given = label if isinstance(label, str) else list(label)
        return self.transport.send(Call("PUT", f"{_path(project, sample)}/label", body={"label": given}))

    def delete(self, project: str | Project, sample: str) -> None:
        self.transport.send(Call("DELETE", _path(project, sample)))


def merged(replies: Iterable[Mapping[str, Any]]) -> Json:
    """Batches that were sent one after the other, as one: rows numbered through."""
    total: Json = {"object": "sample.batch", **dict.fromkeys(COUNTS, 0), "data": []}
    for reply in replies:
        sent = len(total["data"])
        total |= {name: total[name] + reply[name] for name in COUNTS}
        total["data"] += [{**row, "index": sent + row["index"]} for row in reply["data"]]
        total["readiness"] = reply.get("readiness")
    return total


def _path(project: str | Project, sample: str) -> str:
    return f"{path_of(project)}/samples/{segment(sample)}"
