"""What a plan is made from: counts first, then what can be measured on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import mean, median
from typing import TYPE_CHECKING, TypeVar

from tsugiki.domain import MIN_LABELS, MIN_PER_LABEL, Closeness, Profile, told_labels, usable_labels
from tsugiki.evaluation.learning_curve import last_doubling

if TYPE_CHECKING:
    from tsugiki.domain import Content, FeatureSpace, Json, Modality, Project, Rates, Task, TrainingSet
    from tsugiki.ports import Backbone

S = TypeVar("S")

SIZE_UNKNOWN = 1  # of features
COUNTED_TEXTS = 200  # of which tokens are counted: their mean is known to a few per cent, in some 10 ms
COUNTED_FILES = 8  # a file is read again for it; pictures are of one size, sounds mostly of a kind


def profile_of(
    counts: Mapping[str, int],
    space: FeatureSpace | None,
    declared: Collection[str] = (),
    task: Task = "single_label",
    modality: Modality = "text",
) -> Profile:
    """`{"billing": 12, "delivery": 8}` -> 20 samples, 2 labels, 8 to 12 a label; `declared` ones count without any.

    Without a space it tells what may run, not what it costs.
    """
    profile = _profile_of_sets(counts) if task == "multi_label" else _profile(counts, declared)
    profile = replace(profile, modality=modality)
    return profile if space is None else replace(profile, dim=space.dim, widths=space.widths, blocks=space.blocks)


def with_rates(profile: Profile, rates: Rates | None) -> Profile:
    """None where nothing tells how fast this machine is."""
    return profile if rates is None else replace(profile, rates=rates, device=rates.device)


def _profile(counts: Mapping[str, int], declared: Collection[str]) -> Profile:
    all_counts = {**dict.fromkeys(declared, 0), **counts}
    sizes = list(all_counts.values())
    thin = {label for label, count in all_counts.items() if count < MIN_PER_LABEL}
    return Profile(
        samples=sum(sizes),
        labels=len(sizes),
        min_per_label=min(sizes, default=0),
        max_per_label=max(sizes, default=0),
        dim=SIZE_UNKNOWN,
        median_per_label=float(median(sizes)) if sizes else 0.0,
        imbalance=max(sizes, default=0) / max(min(sizes, default=0), 1),
        declared=len(declared),
        # Names that were not declared are spoken as well: beside two that were, the head has no need to wait for one.
        named=thin <= set(declared) or len(declared) >= MIN_LABELS,
    )


def _profile_of_sets(counts: Mapping[str, int]) -> Profile:
    samples, usable = sum(counts.values()), usable_labels(counts)
    having: Counter[str] = Counter()
    for told, count in counts.items():
        having.update(dict.fromkeys(told_labels(told), count))
    sizes = [having[label] for label in usable]
    return Profile(
        samples=samples,
        labels=len(usable),
        min_per_label=min((min(size, samples - size) for size in sizes), default=0),
        max_per_label=max(sizes, default=0),
        dim=SIZE_UNKNOWN,
        median_per_label=float(median(sizes)) if sizes else 0.0,
        imbalance=max(sizes, default=0) / max(min(sizes, default=0), 1),
        task="multi_label",
        left_out=len(having) - len(usable),
    )


def named_labels(project: Project) -> frozenset[str]:
    """The declared labels, for single_label text projects only; else none.

    Names of labels mean nothing beside pictures or sounds, and in multi_label projects a name cannot tell how near is
    near enough for its label to apply.
    """
    speaks = project.modality == "text" and project.task == "single_label"
    return frozenset(label.name for label in project.labels) if speaks else frozenset()


def spread(samples: Sequence[S], modality: Modality) -> Sequence[S]:
    """As many as lengths are counted of, evenly; half of that or more."""
    return samples[:: max(1, -(-len(samples) // (COUNTED_TEXTS if modality == "text" else COUNTED_FILES)))]


def with_lengths(profile: Profile, backbone: Backbone, contents: Sequence[Content]) -> Profile:
    """Their tokens; nothing is known of none."""
    if not contents:
        return profile
    tokens = [row.size for row in backbone.prepare(contents)]
    return replace(profile, mean_tokens=mean(tokens), max_tokens=max(tokens))


def with_closeness(profile: Profile, data: TrainingSet, report: Json) -> Profile:
    """`report` is a head's evaluation on frozen features."""
    if data.combinations is not None:
        decided = report["micro_f1"]
        return replace(profile, closeness=Closeness(decided["value"], tuple(decided["ci95"])))
    accuracy = report["accuracy"]
    found = last_doubling(data.features, data.targets, data.folds, len(data.labels))
    low, high = accuracy["ci95"]
    return replace(profile, closeness=Closeness(accuracy["value"], (low, high), found.gain, found.ci95))


def remembered(plan: Json | None) -> Closeness | None:
    """What an earlier plan of the project found out."""
    found = (plan or {}).get("profile", {}).get("closeness")
    if found is None:
        return None
    doubling = found["doubling_ci95"]
    return Closeness(
        found["accuracy"], tuple(found["ci95"]), found["doubling"], None if doubling is None else tuple(doubling)
    )
