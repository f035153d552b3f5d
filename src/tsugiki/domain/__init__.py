"""The nouns of the product, frozen. Imports in milliseconds: numpy is named for types only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .grafts import Delta, FeatureSpace, Fitted, Graft, Head, HeadScope, HeldOut, LoraDelta, LoraPair, WeightsDelta
from .jobs import Adaptation, Alias, AliasMove, Event, Export, NewVersion, Version
from .plans import Budget, Closeness, GateDecision, Plan, Profile, Rates, TrainingSet, Verdict
from .predictions import Prediction
from .projects import Fix, Label, Policy, Project
from .samples import NewSample, Prepared, Sample, SampleFile, Snapshot
from .tenants import Key, Tenant
from .told import LINE, tell_labels, told_labels, usable_labels
from .words import (
    LIVE,
    MAX_LABELS,
    MAX_SAMPLES,
    MIN_LABELS,
    MIN_PER_LABEL,
    ROW_FINDINGS,
    SOFTENED,
    UNFINISHED,
    Content,
    EngineName,
    EngineWish,
    FixAction,
    GateRule,
    JobStatus,
    Json,
    MethodName,
    Modality,
    Outcome,
    Phase,
    Precision,
    Promotion,
    RowFinding,
    Scope,
    Task,
)

if TYPE_CHECKING:
    from .numbers import Bools as Bools
    from .numbers import Floats as Floats
    from .numbers import InputRow as InputRow
    from .numbers import Ints as Ints

__all__ = [
    "Adaptation",
    "Alias",
    "AliasMove",
    "Budget",
    "Closeness",
    "Content",
    "Delta",
    "EngineName",
    "EngineWish",
    "Event",
    "Export",
    "FeatureSpace",
    "Fitted",
    "Fix",
    "FixAction",
    "GateDecision",
    "GateRule",
    "Graft",
    "Head",
    "HeadScope",
    "HeldOut",
    "JobStatus",
    "Json",
    "Key",
    "LINE",
    "LIVE",
    "Label",
    "LoraDelta",
    "LoraPair",
    "MAX_LABELS",
    "MAX_SAMPLES",
    "MIN_LABELS",
    "MIN_PER_LABEL",
    "MethodName",
    "Modality",
    "NewSample",
    "NewVersion",
    "Outcome",
    "Phase",
    "Plan",
    "Prepared",
    "Policy",
    "Precision",
    "Prediction",
    "Profile",
    "Project",
    "Promotion",
    "ROW_FINDINGS",
    "Rates",
    "RowFinding",
    "SOFTENED",
    "UNFINISHED",
    "Sample",
    "SampleFile",
    "Scope",
    "Snapshot",
    "Task",
    "Tenant",
    "TrainingSet",
    "Verdict",
    "Version",
    "WeightsDelta",
    "tell_labels",
    "told_labels",
    "usable_labels",
]
