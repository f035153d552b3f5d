"""Projects and samples."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from tsugiki.domain import told_labels

from .lists import Object, moment

if TYPE_CHECKING:
    from tsugiki.domain import Modality, Project, Sample
    from tsugiki.errors import Issue


class ProjectReply(TypedDict):
    object: Literal["project"]
    id: str
    name: str
    modality: str
    task: str
    backbone: str
    backbone_open: bool
    labels: list[Object]
    policy: Object
    created_at: str


class SampleLabels(TypedDict, total=False):
    labels: list[str]  # of a multi_label project


class FileReply(TypedDict):
    """Stands for a file, which `…/samples/{s}/content` gives."""

    sha256: str


class SampleReply(SampleLabels):
    object: Literal["sample"]
    id: str
    input: str | FileReply
    label: str | None
    external_id: str | None
    source: str | None
    metadata: Object
    status: str
    issues: list[Object]
    created_at: str


def project(item: Project) -> ProjectReply:
    precision = item.policy.abstain_precision
    return {
        "object": "project",
        "id": item.id,
        "name": item.name,
        "modality": item.modality,
        "task": item.task,
        "backbone": item.backbone,
        "backbone_open": item.backbone_open,
        "labels": [asdict(label) for label in item.labels],
        "policy": {
            "adapt": item.policy.adapt,
            "promote": item.policy.promote,
            "abstain": None if precision is None else {"target_precision": precision},
            "capture": item.policy.capture,
            "quarantine": list(item.policy.quarantine),
        },
        "created_at": moment(item.created_at),
    }


def sample(item: Sample, modality: Modality) -> SampleReply:
    """`labels` of a set besides `label`, which is then the only one or null."""
    labels = None if item.label is None else told_labels(item.label)
    several: SampleLabels = {"labels": list(labels)} if labels is not None and labels != (item.label,) else {}
    return {
        "object": "sample",
        "id": item.id,
        "input": item.content if modality == "text" else {"sha256": item.content},
        "label": labels[0] if labels is not None and len(labels) == 1 else None,
        **several,
        "external_id": item.external_id,
        "source": item.source,
        "metadata": item.metadata,
        "status": item.status,
        "issues": [issue(found) for found in item.issues],
        "created_at": moment(item.created_at),
    }


def issue(item: Issue) -> Object:
    return {key: value for key, value in asdict(item).items() if value}
