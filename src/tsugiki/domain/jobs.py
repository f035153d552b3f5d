"""Adaptations, versions, aliases, exports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tsugiki.observed import Origin

from .grafts import Graft
from .samples import Snapshot
from .words import JobStatus, Json, MethodName, Phase, Precision


@dataclass(frozen=True, slots=True)
class Adaptation:
    """One job that turns a snapshot into a version.

    `request` is the caller's wish, as accepted; `asked` tells which request of theirs it came with.
    """

    id: str
    project_id: str
    status: JobStatus
    phase: Phase
    request: Json
    fraction: float
    attempts: int
    plan: Json | None
    gate: Json | None
    version: int | None
    error: Json | None
    timings: Json
    created_at: datetime
    finished_at: datetime | None
    asked: Origin


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an adaptation's life; `seq` counts from 1 within the adaptation."""

    seq: int
    at: datetime
    type: Literal["phase", "metric", "message"]
    data: Json


@dataclass(frozen=True, slots=True)
class Version:
    """A published graft. `digest` is the sha256 of the graft's bytes; `metrics` the headline of its evaluation."""

    project_id: str
    number: int
    digest: str
    method: MethodName
    backbone: str
    feature_space: str
    labels: tuple[str, ...]
    snapshot: str
    metrics: Json
    lineage: Json
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version about to be published; its number is given by the publishing transaction."""

    graft: Graft
    snapshot: Snapshot
    backbone: str
    evaluation: Json
    metrics: Json
    lineage: Json


@dataclass(frozen=True, slots=True)
class Alias:
    project_id: str
    name: str
    version: int
    moved_at: datetime


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One entry of an alias's history. `id` is the larger the later; `actor` is a key or adaptation id."""

    id: int
    alias: str
    from_version: int | None
    to_version: int
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Export:
    """A version as files that run without this service. `sha256` and `bytes` describe the zip.

    Answers surer than `abstain_below` are given, None gives all: by the policy when it was asked for.
    """

    id: str
    project_id: str
    version: int
    precision: Precision
    abstain_below: float | None
    status: JobStatus
    bytes: int | None
    sha256: str | None
    parity: Json | None
    latency: Json | None
    error: Json | None
    created_at: datetime
