"""What a backbone yields and what training makes of it, as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .words import Json, MethodName

if TYPE_CHECKING:
    from .numbers import Bools, Floats, Ints


@dataclass(frozen=True)
class FeatureSpace:
    """Identity of the vectors a backbone yields. Vectors of two spaces never mix (I8).

    `dim` numbers are of pooled vectors, of `widths`; the network has so many `blocks` (None: not told).
    """

    backbone: str
    backbone_sha256: str
    preprocessing: str  # digest of the tokeniser (or decoder) and its limits
    pooling: str
    precision: str
    dim: int
    widths: tuple[int, ...]
    blocks: int | None = None

    @cached_property
    def id(self) -> str:
        parts = (self.backbone_sha256, self.preprocessing, self.pooling, self.precision, str(self.dim))
        return "fsp_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class HeadScope:
    """What a head can know of: an input less familiar than `least` is out of its scope.

    Familiarity = -min |x - mean|^2 + certainty * max(softmax(log(probabilities) / SOFTENED)); `means` (means, dim)
    float32 are of each class's features. Where each label is a question of its own it is certainty *
    max(probabilities), and `means` are of the samples that have each label, and of those that have none.
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
    answers: Bools | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    graft: Graft
    held_out: HeldOut
