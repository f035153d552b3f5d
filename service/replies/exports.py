"""Exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field
from typing_extensions import TypedDict

from service.errors import job_problem

from .lists import Object, moment

if TYPE_CHECKING:
    from tsugiki.domain import Export


class ParityReply(TypedDict):
    rows: int
    max_abs_diff: Annotated[float, Field(description="over scores and margins to the scope")]
    label_agreement: Annotated[float, Field(description="share of the rows with the same answer")]
    reference: Literal["service"]
    over: Annotated[
        Literal["samples", "labels"],
        Field(description="what the rows are: samples and their beginnings; without any, what the labels are called"),
    ]


class ExportReply(TypedDict):
    object: Literal["export"]
    id: str
    version: int
    format: Literal["onnx"]
    precision: str
    status: str
    bytes: int | None
    sha256: str | None
    parity: ParityReply | None
    latency: Object | None
    error: Object | None
    created_at: str


def export(item: Export) -> ExportReply:
    return {
        "object": "export",
        "id": item.id,
        "version": item.version,
        "format": "onnx",
        "precision": item.precision,
        "status": item.status,
        "bytes": item.bytes,
        "sha256": item.sha256,
        "parity": cast("ParityReply | None", item.parity),
        "latency": item.latency,
        "error": None if item.error is None else job_problem(item.error, instance=f"/v1/exports/{item.id}"),
        "created_at": moment(item.created_at),
    }
