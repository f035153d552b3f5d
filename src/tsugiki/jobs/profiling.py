"""What a plan is made from: counts first, then what can be measured on the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import mean, median
from typing import TYPE_CHECKING

from tsugiki.domain import MIN_PER_LABEL, Closeness, Profile
from tsugiki.evaluation.learning_curve import last_doubling

if TYPE_CHECKING:
    from tsugiki.domain import Json, Project, TrainingSet
    from tsugiki.ports import Backbone

COUNTED_ROWS = 200  # of which tokens are counted: their mean is known to a few per cent, in some 10 ms


def profile_of(counts: Mapping[str, int], dim: int, declared: Collection[str] = (), parts: int = 1) -> Profile:
    """`{"billing": 12, "delivery": 8}` -> 20 samples, 2 labels, 8 to 12 a label; `declared` ones count without any."""
    all_counts = {**dict.fromkeys(declared, 0), **counts}
    sizes = list(all_counts.values())
    thin = {label for label, count in all_counts.items() if count < MIN_PER_LABEL}
    return Profile(
        samples=sum(sizes),
        labels=len(sizes),
        min_per_label=min(sizes, default=0),
        max_per_label=max(sizes, default=0),
        dim=dim,
        parts=parts,
        median_per_label=float(median(sizes)) if sizes else 0.0,
        imbalance=max(sizes, default=0) / max(min(sizes, default=0), 1),
        declared=len(declared),
        named=thin <= set(declared),
    )


def named_labels(project: Project) -> frozenset[str]:
    """The declared labels, where a name says something of the inputs: text is told by words."""
    return frozenset(label.name for label in project.labels) if project.modality == "text" else frozenset()


def with_lengths(profile: Profile, backbone: Backbone, contents: Sequence[str]) -> Profile:
    """Tokens of COUNTED_ROWS samples, spread evenly."""
    if not contents:
        return profile
    spread = contents[:: max(1, len(contents) // COUNTED_ROWS)]
    tokens = [len(row.ids) for row in backbone.prepare(spread)]
    return replace(profile, mean_tokens=mean(tokens), max_tokens=max(tokens))


def with_closeness(profile: Profile, data: TrainingSet, accuracy: Json) -> Profile:
    """`accuracy` is that of a head's evaluation on frozen features, `{"value", "ci95"}`."""
    found = last_doubling(data.features, data.targets, data.folds, len(data.labels))
    low, high = accuracy["ci95"]
    return replace(profile, closeness=Closeness(accuracy["value"], (low, high), found.gain, found.ci95))


def remembered(plan: Json | None) -> Closeness | None:
    """What an earlier plan of the project found out."""
    found = (plan or {}).get("profile", {}).get("closeness")
    if found is None:
        return None
    (low, high), (least, most) = found["ci95"], found["doubling_ci95"]
    return Closeness(found["accuracy"], (low, high), found["doubling"], (least, most))
