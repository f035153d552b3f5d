"""The nouns of the product, frozen. Imports in milliseconds: numpy is named for types only."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

from tsugiki.errors import Issue

Modality = Literal["text", "image", "audio"]
Task = Literal["single_label", "multi_label"]
MethodName = Literal["zero_shot", "head", "lora", "partial", "full"]
Scope = Literal["predict", "annotate", "adapt", "admin"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Phase = Literal["validate", "audit", "embed", "plan", "train", "calibrate", "evaluate", "gate", "promote"]
Promotion = Literal["gate", "always", "never"]
GateRule = Literal["refit", "replacement"]
Precision = Literal["fp32", "int8"]
EngineName = Literal["onnxruntime", "openvino", "torch"]
Outcome = Literal["label", "abstain", "out_of_scope"]
RowFinding = Literal[  # what an audit may find wrong with one sample
    "duplicate_exact",
    "duplicate_near",
    "duplicate_across_folds",
    "duplicate_conflicting_label",
    "duplicate_near_conflicting_label",
    "label_suspect",
    "outlier",
    "input_too_short",
    "input_truncated",
]
FixAction = Literal["relabel", "drop", "keep"]
Json = dict[str, Any]  # a JSON object as the wire and the database hold it; Any because JSON is untyped

LIVE = "live"
ROW_FINDINGS: tuple[RowFinding, ...] = get_args(RowFinding)
MIN_LABELS = 2
MIN_PER_LABEL = 2  # one sample to learn from while the other is held out
MAX_LABELS = 1_000  # what the head solver and the bank are tested to
MAX_SAMPLES = 100_000  # per project, ditto
SOFTENED = 3  # of a scope's certainty: 2, 3 and 5 told unknown inputs alike (AUROC within 0.004), 1 less well


# What is told of a sample is one text. In a multi_label project that is its set of labels: each as JSON on a line of
# its own, between line ends. No label begins with one, nor does JSON hold one, so a set is never taken for a label, and
# the database finds a label in a set as a text in a text.
LINE = "\n"


def tell_labels(labels: Iterable[str]) -> str:
    r"""A set of labels, perhaps empty, as one text: equal sets are equal texts. `{"b", "a"} -> '\n"a"\n"b"\n'`"""
    return LINE + "".join(json.dumps(label, ensure_ascii=False) + LINE for label in sorted(set(labels)))


def told_labels(told: str) -> tuple[str, ...]:
    """The labels in what is told of a sample: of a set its members in order, else the label itself."""
    return tuple(json.loads(line) for line in told.split(LINE)[1:-1]) if told.startswith(LINE) else (told,)


def usable_labels(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Of samples counted by what is told of them: the labels that some have and some have not, MIN_PER_LABEL of each.

    Only where sets are told; of these a label that fails is left out, for it cannot be told from the others.
    """
    having: Counter[str] = Counter()
    for told, count in counts.items():
        having.update(dict.fromkeys(told_labels(told), count))
    most = sum(counts.values()) - MIN_PER_LABEL
    return tuple(sorted(label for label, count in having.items() if MIN_PER_LABEL <= count <= most))


# Tenants


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who owns projects. `operator` may manage other tenants; `quota` holds only the limits that were set."""

    id: str
    name: str
    operator: bool
    quota: Json
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without its secret: `prefix` is the part that may be shown."""

    id: str
    tenant_id: str
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


# Projects and samples


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
    """One classifier of a tenant. `labels` are the declared ones; samples may bring others."""

    id: str
    tenant_id: str
    name: str
    modality: Modality
    task: Task
    backbone: str
    labels: tuple[Label, ...]
    policy: Policy
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewSample:
    """A checked sample before it is stored: `content` is NFC text, `label` NFC or None.

    `label` is what is told of it: in a multi_label project a set, as `tell_labels` writes it.
    `content_sha` is the identity for exact duplicates; `group` is shared by samples that must never
    be separated by a fold (equal but for case and white space).
    """

    content: str
    content_sha: str
    group: str
    label: str | None
    external_id: str | None = None
    source: str | None = None
    metadata: Json = field(default_factory=dict[str, Any])
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """A stored sample. Everything but `label` (and what follows from it: `issues`) is immutable; see NewSample."""

    id: str
    project_id: str
    content: str
    content_sha: str
    group: str
    label: str | None
    external_id: str | None
    source: str | None
    metadata: Json
    status: Literal["accepted", "quarantined"]
    issues: tuple[Issue, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable set of labelled samples with its folds: what a version was trained on.

    `labels` are sorted; `targets[i]` indexes them or, in a multi_label project, the `combinations` of them that occur,
    each a set of places in `labels`. `folds[i]` is the fold in which sample i is held out. With a
    `holdout`, fold 0 is the frozen one: the same samples in every snapshot that holds them.
    """

    id: str
    project_id: str
    sample_ids: tuple[str, ...]
    labels: tuple[str, ...]
    targets: tuple[int, ...]
    folds: tuple[int, ...]
    holdout: bool = False
    combinations: tuple[tuple[int, ...], ...] | None = None

    @property
    def told(self) -> dict[str, str]:
        """What is told of each sample, by its id."""
        return dict(zip(self.sample_ids, self._tellings(), strict=True))

    @property
    def digest(self) -> str:
        """sha256 over samples, labels and folds, whatever order they were read in."""
        rows = sorted(zip(self.sample_ids, self._tellings(), self.folds, strict=True))
        return hashlib.sha256(json.dumps([self.labels, rows]).encode()).hexdigest()

    def _tellings(self) -> list[str]:
        if self.combinations is None:
            return [self.labels[target] for target in self.targets]
        sets = [tell_labels(self.labels[place] for place in members) for members in self.combinations]
        return [sets[target] for target in self.targets]


# Backbones and grafts


@dataclass(frozen=True)
class FeatureSpace:
    """Identity of the vectors a backbone yields. Vectors of two spaces never mix (I8).

    `dim` numbers are of `parts` pooled vectors, as wide as the network each.
    """

    backbone: str
    backbone_sha256: str
    preprocessing: str  # digest of the tokeniser (or decoder) and its limits
    pooling: str
    precision: str
    dim: int
    parts: int = 1

    @cached_property
    def id(self) -> str:
        parts = (self.backbone_sha256, self.preprocessing, self.pooling, self.precision, str(self.dim))
        return "fsp_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class HeadScope:
    """What a head can know of: an input less familiar than `least` is out of its scope.

    Familiarity = -min |x - mean|^2 + certainty * max(softmax(log(probabilities) / SOFTENED)); `means` (classes, dim)
    float32 are of each class's features.
    """

    means: Floats
    certainty: float
    least: float


@dataclass(frozen=True, slots=True)
class Head:
    """A linear classifier on features: probabilities = softmax((weight @ x + bias) / temperature).

    `weight` (classes, dim) and `bias` (classes,) are float32; row i belongs to `labels[i]`. Without a `scope` every
    input is in it: too few samples, or none left out, to say where it ends.
    With `thresholds` (classes,) each label is a question of its own, its probability the sigmoid, and it is given from
    its threshold on.
    """

    weight: Floats
    bias: Floats
    temperature: float
    labels: tuple[str, ...]
    scope: HeadScope | None = None
    thresholds: Floats | None = None


@dataclass(frozen=True, slots=True)
class LoraPair:
    """What LoRA adds to one linear module: y += (x @ down) @ up, the scale already in `up`.

    `down` is (in, rank), `up` is (rank, out), both float32. Source: Hu et al. 2021, arXiv 2106.09685.
    """

    down: Floats
    up: Floats


@dataclass(frozen=True, slots=True)
class LoraDelta:
    """LoRA matrices by the backbone's module name, such as `encoder.layer.0.attention.self.query`."""

    modules: Mapping[str, LoraPair]

    @property
    def rank(self) -> int:
        """The largest of its modules."""
        return max(pair.down.shape[1] for pair in self.modules.values())


@dataclass(frozen=True, slots=True)
class WeightsDelta:
    """Replaced weights by the backbone's parameter name, in the shapes of the backbone's own file."""

    tensors: Mapping[str, Floats]

    @property
    def size_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


Delta = LoraDelta | WeightsDelta


@dataclass(frozen=True, slots=True)
class Graft:
    """What training produced, as plain data. `feature_space` is the id of the space `head` was fitted in.

    `delta` is what changes the backbone itself, None where it is served as it is: the features that `head` reads are
    then the changed network's.
    """

    method: MethodName
    feature_space: str
    head: Head
    details: Json = field(default_factory=dict[str, Any])  # what the method chose: strength, iterations, ...
    delta: Delta | None = None


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Calibrated answers for samples by fits that did not see them: the only evidence an evaluation may use.

    `rows` (held,) indexes the training set; `probabilities` is (held, classes), float32, rows sum to 1.
    Where labels are questions of their own they do not, and `answers` (held, classes) are by thresholds that other rows
    chose.
    """

    rows: Ints
    probabilities: Floats
    answers: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    graft: Graft
    held_out: HeldOut


# Training


@dataclass(frozen=True, slots=True)
class Budget:
    """`seconds` of wall clock to aim at; None leaves it to the method.

    An adaptation's is for all of it: a method gets what embedding left, and plans by it how thoroughly it works. It
    is no deadline: the least effort is always made.
    """

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """`features` (samples, dim) float32 of the unchanged backbone by the serving engine.

    `targets` and `folds` are (samples,); `targets` index `labels` or, where a sample may have several, the sets of them
    in `combinations`. `rows` are what the network itself reads, the token ids (tokens,) of each
    sample, unpadded; a method that trains no network leaves them unread. `names` (labels, dim) are features of what
    the labels are called, None where that is not heard; a label may then be without samples.
    """

    feature_space: str
    features: Floats
    targets: Ints
    folds: Ints
    labels: tuple[str, ...]
    seed: int
    rows: Sequence[Ints] = ()
    names: Floats | None = None
    combinations: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """What a plan is made from: sizes and measures, no content.

    A label counts that has samples, or is declared where its name says something. `named`: every label with fewer
    than MIN_PER_LABEL samples is declared, so that its name stands in for them.
    Of a multi_label project the usable labels count, `min_per_label` samples that have one or that have it not, and
    `left_out` are the others.
    """

    samples: int
    labels: int
    min_per_label: int
    max_per_label: int
    dim: int  # of a feature
    median_per_label: float = 0.0
    imbalance: float = 1.0  # the commonest label's samples by the rarest's, of which at least one is counted
    declared: int = 0
    named: bool = False
    mean_tokens: float | None = None  # of a sample; None where nothing was counted or measured, as in what follows
    max_tokens: int | None = None
    parts: int = 1  # vectors of the network's own width that a feature is joined from
    closeness: Closeness | None = None
    rates: Rates | None = None
    device: str = "cpu"
    task: Task = "single_label"
    left_out: int = 0

    @property
    def width(self) -> int:
        """Numbers a token, in the network."""
        return self.dim // self.parts


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near the frozen features come to telling the labels apart: the head's accuracy on held-out samples.

    `doubling` is what the last doubling of the samples added to it, None where that was not measured. Both with 95 %
    intervals, as parts of 1. Where a sample may have several labels the micro F1 stands for the accuracy.
    """

    accuracy: float
    ci95: tuple[float, float]
    doubling: float | None = None
    doubling_ci95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second through the whole backbone: `forward` as served, `backward` as trained (both ways).

    `measured` on this machine, else they are another's.
    """

    forward: float
    backward: float
    measured: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """May a method run on a profile, at what estimated cost, or why not (`skipped`).

    `score` is the accuracy to be expected of it and `ci95` its interval; None where nothing tells.
    """

    method: MethodName
    seconds: float
    peak_bytes: int
    skipped: str | None = None
    score: float | None = None
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`next` is a deeper method that may pay afterwards, None where none does or none is to be tried."""

    chosen: MethodName
    reasons: tuple[str, ...]
    profile: Profile
    candidates: tuple[Verdict, ...]
    next: MethodName | None = None


@dataclass(frozen=True, slots=True)
class GateDecision:
    """`difference` (candidate minus live, accuracy) and its 95 % interval; None where there is nothing to compare.

    `rule` is what the candidate was held to, None where it was not compared; `rows` are those that both answered.
    """

    promoted: bool
    reason: str
    difference: float | None = None
    ci95: tuple[float, float] | None = None
    per_class: tuple[Json, ...] = ()
    rule: GateRule | None = None
    rows: int = 0


# Jobs, versions, exports


@dataclass(frozen=True, slots=True)
class Adaptation:
    """One job that turns a snapshot into a version. `request` is the caller's wish, as accepted."""

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
    """One entry of an alias's history. `actor` is a key or adaptation id."""

    alias: str
    from_version: int | None
    to_version: int
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Export:
    """A version as files that run without this service. `sha256` and `bytes` describe the zip."""

    id: str
    project_id: str
    version: int
    precision: Precision
    status: JobStatus
    bytes: int | None
    sha256: str | None
    parity: Json | None
    latency: Json | None
    error: Json | None
    created_at: datetime


# Predictions


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row's answer. `scores` holds as many labels as were asked for, best first.

    `labels`, in a multi_label project, are all that apply, perhaps none; `label` is then the best of them.

    `familiarity` is by how much the row is nearer than the end of the head's scope, below 0 out of it; None where the
    head has none.
    """

    outcome: Outcome
    label: str | None
    score: float
    scores: tuple[tuple[str, float], ...]
    truncated: bool
    tokens: int
    familiarity: float | None = None
    labels: tuple[str, ...] | None = None
