"""Data that no method can learn from, refused with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import MAX_LABELS, MAX_SAMPLES, MIN_LABELS, MIN_PER_LABEL
from tsugiki.errors import Invalid, WrongFeatureSpace
from tsugiki.training.losses import truths_of

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Profile, TrainingSet
    from tsugiki.ports import Backbone

LARGEST_FEATURE = 1e15  # beyond it float32 squares overflow; no backbone yields such numbers but by a fault


def least_labels(*, several: bool) -> int:
    """How many labels there must be: one is a question of its own where a sample may have `several`, or none."""
    return 1 if several else MIN_LABELS


def skip_reason(profile: Profile, per_label: int = MIN_PER_LABEL, *, named: bool = False) -> str | None:
    """Why a method that needs `per_label` samples of each label cannot run; None where it can.

    `named`: a label's name may stand in for its samples.
    """
    least = least_labels(several=profile.task == "multi_label")
    if profile.labels < least:
        return f"{profile.labels} labels, of at least {least} needed"
    # With fewer, names alone answer better: 62.4 % of banking77 and 54.0 % of hwu64, a head on 20 random samples and
    # the names 58.6 and 48.9 %, on 40 60.7 and 51.6 %, on 80 (a label each) 63.2 and 59.5 %.
    if named and profile.samples < profile.labels:
        return f"{profile.samples} samples of {profile.labels} labels, of one a label on the average needed"
    if profile.min_per_label < per_label and not named:
        return f"a label with {profile.min_per_label} samples, of at least {per_label} needed for each"
    if profile.labels > MAX_LABELS:
        return f"{profile.labels} labels, of at most {MAX_LABELS}"
    if profile.samples > MAX_SAMPLES:
        return f"{profile.samples} samples, of at most {MAX_SAMPLES}"
    return None


def refuse(backbone: Backbone, data: TrainingSet, per_label: int = MIN_PER_LABEL, *, named: bool = False) -> None:
    """Raises Invalid on data that cannot be learnt from, WrongFeatureSpace on features of another backbone."""
    if data.feature_space != backbone.space.id:
        raise WrongFeatureSpace(
            f"features of space {data.feature_space}, but backbone {backbone.name} yields {backbone.space.id}",
            fix="embed the samples again with this backbone",
        )
    truths = truths_of(data)
    counts = np.bincount(data.targets, minlength=len(data.labels if truths is None else truths))
    if truths is not None:  # of each label the samples that have it, or that have it not if these are fewer
        counts = (counts @ truths).astype(np.int64)
        counts = np.minimum(counts, len(data.targets) - counts)
    least = least_labels(several=truths is not None)
    if len(data.labels) < least:
        raise Invalid(
            f"{len(data.labels)} labels, expected at least {least}",
            fix="add samples of another label",
            code="too_few_labels",
        )
    if counts.min() < per_label and not named:
        short = int((counts < per_label).sum())
        raise Invalid(
            f"{short} of {len(counts)} labels have fewer than {per_label} samples, the rarest {counts.min()}",
            fix=f"give each label at least {per_label} samples, declare it, or remove it",
            code="too_few_samples",
        )
    if len(np.unique(data.folds)) < 2:
        raise Invalid(
            "all samples are in one fold, so none could be held out; expected two folds or more",
            fix="add samples that are not repeats of the others",
            code="too_few_samples",
        )
    broken = _broken_rows(data.features)
    if len(broken):
        raise Invalid(
            f"{len(broken)} samples have features that are not finite (the first is sample {broken[0]}), expected none",
            fix="remove or replace these samples, then embed again",
            code="features_not_finite",
        )
    if named and data.names is not None and (unnamed := _broken_rows(data.names)):
        raise Invalid(
            f"{len(unnamed)} labels' names have features that are not finite (the first is label {unnamed[0]})",
            fix="rename the label, or adapt again",
            code="features_not_finite",
        )


def _broken_rows(features: Floats) -> list[int]:
    """Rows with a NaN, an infinity, or a value that only a fault can make."""
    largest = np.maximum(features.max(axis=1), -features.min(axis=1))  # NaN goes through both
    broken: list[int] = np.flatnonzero(~(largest < LARGEST_FEATURE)).tolist()
    return broken
