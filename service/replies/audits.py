"""Audits and what was decided of them; the routes fill these in as they read."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from .lists import Object


class FindingReply(TypedDict):
    """One thing found of a sample or, where `sample` is null, of a label."""

    code: Annotated[str, Field(description="what was found, such as label_suspect")]
    sample: Annotated[str | None, Field(description="the sample's id")]
    label: Annotated[str | None, Field(description="as the audit saw it; null where a sample has several, or none")]
    labels: NotRequired[Annotated[list[str], Field(description="of a sample that may have several")]]
    pointer: Annotated[str, Field(description="JSON pointer into the sample: /input or /label")]
    detail: Annotated[str, Field(description="what was found; quotes no input")]
    fix: Annotated[str, Field(description="what to do about it")]
    actions: Annotated[list[Literal["relabel", "drop", "keep"]], Field(description="what /audit/fixes does about it")]
    evidence: Annotated[list[str], Field(description="ids of the samples that show it, the most telling first")]
    score: NotRequired[Annotated[float, Field(description="0..1, the surer the higher, where the code has one")]]
    suggested_label: NotRequired[Annotated[str, Field(description="the one that would be right")]]
    suggested_labels: NotRequired[Annotated[list[str], Field(description="ditto, where a sample may have several")]]
    state: Annotated[
        Literal["open", "quarantined", "kept", "relabelled", "dropped"] | None,
        Field(description="where it stands now; null for a finding about a label"),
    ]


class AuditReply(TypedDict):
    object: Literal["audit"]
    version: int
    samples: Annotated[int, Field(description="of the snapshot the version was trained on")]
    held_out: Annotated[int, Field(description="of them, those whose held-out answers the audit heard")]
    neighbours: Annotated[Literal["exact", "approximate"], Field(description="how near-duplicates were searched for")]
    summary: Annotated[
        dict[str, dict[str, int]], Field(description="by code: found, listed (1,000 at most), kept by somebody before")
    ]
    data: Annotated[list[FindingReply], Field(description="the surest first of each code")]


class FixReply(TypedDict):
    index: Annotated[int, Field(description="of the row as sent")]
    sample: str
    action: Literal["relabel", "drop", "keep"]
    status: Annotated[
        Literal["applied", "unchanged", "rejected"], Field(description="unchanged: it was done already; not an error")
    ]
    error: NotRequired[Annotated[Object, Field(description="the problem of a rejected row, which changed nothing")]]


class FixBatchReply(TypedDict):
    object: Literal["fix.batch"]
    applied: int
    unchanged: int
    rejected: int
    data: Annotated[list[FixReply], Field(description="one a row, in the order sent")]
