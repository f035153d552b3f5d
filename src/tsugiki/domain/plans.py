"""What training is given, planned and judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .words import GateRule, Json, MethodName, Modality, Task

if TYPE_CHECKING:
    from .numbers import Floats, Ints
    from .samples import Prepared


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

    `targets`, `folds` and `groups` are (samples,); `targets` index `labels` or, where a sample may have several, the
    sets of them in `combinations`. Samples of one group are the same or nearly: nothing is chosen by some of them and
    proven by others. `rows` are what the network itself reads of each sample; a method that trains no network leaves
    them unread. `names` (labels, dim) are features of what the labels are called, None where that is not heard; a label
    may then be without samples. `name_rows` are what the network reads of that, the texts of each label, for a method
    that trains it.
    """

    feature_space: str
    features: Floats
    targets: Ints
    folds: Ints
    groups: Ints
    labels: tuple[str, ...]
    seed: int
    rows: Sequence[Prepared] = ()
    names: Floats | None = None
    combinations: tuple[tuple[int, ...], ...] | None = None
    name_rows: Sequence[Sequence[Prepared]] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a plan is made from: sizes and measures, no content.

    A label counts that has samples, or is declared where its name says something. `named`: where a label has fewer
    than MIN_PER_LABEL samples, its name stands in for them.
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
    widths: tuple[int, ...] = ()  # of the pooled vectors that a feature is joined from; () where that is not known
    blocks: int | None = None  # of the network; None where it does not tell
    closeness: Closeness | None = None
    rates: Rates | None = None
    device: str = "cpu"
    modality: Modality = "text"
    task: Task = "single_label"
    left_out: int = 0

    @property
    def width(self) -> int:
        """Numbers a token, in the network."""
        return self.widths[0] if self.widths else self.dim


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

    Padding counts. `measured` on this machine, else they are another's. `device` is what trains: cpu or cuda.
    """

    forward: float
    backward: float
    measured: bool
    device: str = "cpu"


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
