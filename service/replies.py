"""What replies look like on the wire: one type and one function per object of the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from typing_extensions import TypedDict

from service.errors import job_problem, problem
from tsugiki.domain import Prediction, told_labels
from tsugiki.errors import Issue, TsugikiError
from tsugiki.storage.registry import FOLLOWS

if TYPE_CHECKING:
    from tsugiki.domain import (
        Adaptation,
        Alias,
        AliasMove,
        Event,
        Export,
        Key,
        Plan,
        Project,
        Sample,
        Tenant,
        Version,
    )
    from tsugiki.runtime.predictor import Answered
    from tsugiki.storage.pages import Page

Object = dict[str, Any]
T = TypeVar("T")


class ListReply(TypedDict):
    object: Literal["list"]
    data: list[Object]
    has_more: bool


class ProblemReply(TypedDict):
    """RFC 9457; `errors` names places by JSON pointer."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fix: str
    errors: list[Object]
    instance: str
    request_id: str


class ProjectReply(TypedDict):
    object: Literal["project"]
    id: str
    name: str
    modality: str
    task: str
    backbone: str
    labels: list[Object]
    policy: Object
    created_at: str


class SampleLabels(TypedDict, total=False):
    labels: list[str]  # of a multi_label project


class SampleReply(SampleLabels):
    object: Literal["sample"]
    id: str
    input: str
    label: str | None
    external_id: str | None
    source: str | None
    metadata: Object
    status: str
    issues: list[Object]
    created_at: str


class AdaptationReply(TypedDict):
    object: Literal["adaptation"]
    id: str
    project: str
    status: str
    phase: str
    progress: Object
    plan: Object | None
    gate: Object | None
    version: int | None
    error: Object | None
    timings: Object
    follows: str | None
    created_at: str
    finished_at: str | None


class VersionReply(TypedDict):
    object: Literal["version"]
    version: int
    digest: str
    method: str
    backbone: str
    feature_space: str
    labels: list[str]
    snapshot: str
    created_at: str
    metrics: Object
    lineage: Object


class AliasReply(TypedDict):
    object: Literal["alias"]
    name: str
    version: int
    moved_at: str


class PredictionList(TypedDict):
    object: Literal["prediction.list"]
    project: str
    version: int
    alias: str | None
    method: str
    data: list[Object]
    usage: Object


class ExportReply(TypedDict):
    object: Literal["export"]
    id: str
    version: int
    format: Literal["onnx"]
    precision: str
    status: str
    bytes: int | None
    sha256: str | None
    parity: Object | None
    latency: Object | None
    error: Object | None
    created_at: str


class TenantReply(TypedDict):
    object: Literal["tenant"]
    id: str
    name: str
    operator: bool
    quota: Object
    created_at: str


class KeyReply(TypedDict):
    object: Literal["key"]
    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


def page(found: Page[T], present: Callable[[T], Mapping[str, Any]]) -> ListReply:
    return {"object": "list", "data": [dict(present(item)) for item in found.data], "has_more": found.has_more}


def whole(items: Sequence[T], present: Callable[[T], Mapping[str, Any]]) -> ListReply:
    return {"object": "list", "data": [dict(present(item)) for item in items], "has_more": False}


def project(item: Project) -> ProjectReply:
    precision = item.policy.abstain_precision
    return {
        "object": "project",
        "id": item.id,
        "name": item.name,
        "modality": item.modality,
        "task": item.task,
        "backbone": item.backbone,
        "labels": [asdict(label) for label in item.labels],
        "policy": {
            "adapt": item.policy.adapt,
            "promote": item.policy.promote,
            "abstain": None if precision is None else {"target_precision": precision},
            "capture": item.policy.capture,
            "quarantine": list(item.policy.quarantine),
        },
        "created_at": _time(item.created_at),
    }


def sample(item: Sample) -> SampleReply:
    """`labels` of a set besides `label`, which is then the only one or null."""
    labels = None if item.label is None else told_labels(item.label)
    several: SampleLabels = {"labels": list(labels)} if labels is not None and labels != (item.label,) else {}
    return {
        "object": "sample",
        "id": item.id,
        "input": item.content,
        "label": labels[0] if labels is not None and len(labels) == 1 else None,
        **several,
        "external_id": item.external_id,
        "source": item.source,
        "metadata": item.metadata,
        "status": item.status,
        "issues": [issue(found) for found in item.issues],
        "created_at": _time(item.created_at),
    }


def issue(item: Issue) -> Object:
    return {key: value for key, value in asdict(item).items() if value}


def plan(item: Plan) -> Object:
    return asdict(item)


def adaptation(item: Adaptation, queue_position: int | None = None) -> AdaptationReply:
    return {
        "object": "adaptation",
        "id": item.id,
        "project": item.project_id,
        "status": item.status,
        "phase": item.phase,
        "progress": {"fraction": item.fraction, "eta_seconds": None, "queue_position": queue_position},
        "plan": item.plan,
        "gate": item.gate,
        "version": item.version,
        "error": None if item.error is None else job_problem(item.error),
        "timings": item.timings,
        "follows": item.request.get(FOLLOWS),
        "created_at": _time(item.created_at),
        "finished_at": _time(item.finished_at),
    }


def event(item: Event) -> Object:
    return {"object": "event", "id": item.seq, "at": _time(item.at), "type": item.type, "data": item.data}


def version(item: Version) -> VersionReply:
    return {
        "object": "version",
        "version": item.number,
        "digest": item.digest,
        "method": item.method,
        "backbone": item.backbone,
        "feature_space": item.feature_space,
        "labels": list(item.labels),
        "snapshot": item.snapshot,
        "created_at": _time(item.created_at),
        "metrics": item.metrics,
        "lineage": item.lineage,
    }


def alias(item: Alias) -> AliasReply:
    return {"object": "alias", "name": item.name, "version": item.version, "moved_at": _time(item.moved_at)}


def alias_move(item: AliasMove) -> Object:
    return {"object": "alias.move", **asdict(item), "at": _time(item.at)}


def predictions(answered: Answered, top_k: int) -> PredictionList:
    target = answered.target
    return {
        "object": "prediction.list",
        "project": target.project.name,
        "version": target.version.number,
        "alias": target.alias,
        "method": target.version.method,
        "data": [prediction(index, row, top_k) for index, row in enumerate(answered.rows)],
        "usage": {"inputs": len(answered.rows), "tokens": answered.tokens},
    }


def prediction(index: int, row: Prediction | TsugikiError, top_k: int) -> Object:
    if isinstance(row, TsugikiError):
        return {"index": index, "error": problem(row)}
    return {
        "index": index,
        "outcome": row.outcome,
        "label": row.label,
        **({} if row.labels is None else {"labels": list(row.labels)}),
        "score": row.score,
        "scores": [{"label": label, "score": score} for label, score in row.scores[:top_k]],
        "truncated": row.truncated,
        **({} if row.familiarity is None else {"familiarity": row.familiarity}),
    }


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
        "parity": item.parity,
        "latency": item.latency,
        "error": None if item.error is None else job_problem(item.error),
        "created_at": _time(item.created_at),
    }


def tenant(item: Tenant) -> TenantReply:
    return {
        "object": "tenant",
        "id": item.id,
        "name": item.name,
        "operator": item.operator,
        "quota": item.quota,
        "created_at": _time(item.created_at),
    }


def key(item: Key) -> KeyReply:
    return {
        "object": "key",
        "id": item.id,
        "name": item.name,
        "prefix": item.prefix,
        "scopes": list(item.scopes),
        "created_at": _time(item.created_at),
        "expires_at": _time(item.expires_at),
        "revoked_at": _time(item.revoked_at),
    }


def _time(moment: datetime | None) -> Any:  # str where a moment is given; the callers' types say which
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
