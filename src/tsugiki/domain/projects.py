"""Projects, with what is decided about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .words import ROW_FINDINGS, FixAction, Json, Modality, RowFinding, Task


@dataclass(frozen=True, slots=True)
class Label:
    name: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How a project adapts and answers. `abstain_precision`: answer only where this precision was held, or None.

    `quarantine`: what an audit finds of these kinds is not trained on again until somebody has looked at it.
    """

    adapt: Literal["auto", "manual"] = "auto"
    promote: Literal["gate", "manual"] = "gate"
    abstain_precision: float | None = None
    capture: Json = field(default_factory=dict[str, Any])
    quarantine: tuple[RowFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Fix:
    """What somebody decided of one sample that an audit named.

    `relabel` gives it `label`, `drop` deletes it, `keep` says that it is right as it is, for `codes`. With
    `expected_label` it holds only while the sample has that label, the one that was looked at.
    """

    sample_id: str
    action: FixAction
    label: str | None = None
    expected_label: str | None = None
    codes: tuple[RowFinding, ...] = ROW_FINDINGS


@dataclass(frozen=True, slots=True)
class Project:
    """One classifier of a tenant. `labels` are the declared ones; samples may bring others.

    `backbone_open`: by `auto`, until the samples tell whether another one serves them better.
    """

    id: str
    tenant_id: str
    name: str
    modality: Modality
    task: Task
    backbone: str
    labels: tuple[Label, ...]
    policy: Policy
    created_at: datetime
    backbone_open: bool = False
