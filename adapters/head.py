"""`head`: a linear classifier on the features of the frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsugiki.domain import (
    MAX_LABELS,
    MAX_SAMPLES,
    MIN_LABELS,
    MIN_PER_LABEL,
    Budget,
    Fitted,
    Graft,
    Head,
    MethodName,
    Profile,
    TrainingSet,
    Verdict,
)
from tsugiki.errors import Invalid, WrongFeatureSpace
from tsugiki.ports import Backbone, Progress
from tsugiki.training.blending import hears_names
from tsugiki.training.effort import estimate_peak_bytes, plan_effort

if TYPE_CHECKING:
    from tsugiki.domain import Floats

LARGEST_FEATURE = 1e15  # beyond it float32 squares overflow; no backbone yields such numbers but by a fault


@dataclass(frozen=True, slots=True)
class HeadMethod:
    @property
    def name(self) -> MethodName:
        return "head"

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        named = hears_names(profile.samples, profile.labels, profile.min_per_label)
        effort = plan_effort(profile.samples, profile.dim, profile.labels, budget.seconds, named=named)
        peak_bytes = estimate_peak_bytes(profile.samples, profile.dim, profile.labels, effort)
        return Verdict(self.name, effort.seconds, peak_bytes, _skip_reason(profile))

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        """Deterministic for given data, folds and threads: nothing is drawn, so `data.seed` is not used."""
        from tsugiki.evaluation import find_scope
        from tsugiki.training import fit_head

        _refuse(backbone, data)
        rows, dim = len(data.features), data.features.shape[1]
        effort = plan_effort(rows, dim, len(data.labels), budget.seconds, named=data.names is not None)
        found = fit_head(
            data.features,
            data.targets,
            data.folds,
            len(data.labels),
            effort,
            progress.phase,
            progress.check,
            data.names,
        )
        progress.metric("held_out_log_loss", min(found.losses))
        details = {
            "strength": found.strength,
            "name_weight": found.name_weight,
            "steps": found.steps,
            "every_fold": effort.every_fold,
            "path": [{"strength": s, "loss": loss} for s, loss in zip(effort.strengths, found.losses, strict=False)],
        }
        scope = find_scope(data.features, data.targets, data.folds, found.held_out)
        head = Head(found.weight, found.bias, found.temperature, data.labels, scope)
        return Fitted(Graft(self.name, data.feature_space, head, details), found.held_out)


def _skip_reason(profile: Profile) -> str | None:
    if profile.labels < MIN_LABELS:
        return f"{profile.labels} labels, of at least {MIN_LABELS} needed"
    if profile.min_per_label < MIN_PER_LABEL:
        if not profile.named:
            return f"a label with {profile.min_per_label} samples, of at least {MIN_PER_LABEL} needed for each"
        # With fewer, names alone answer better: 62.4 % of banking77 and 54.0 % of hwu64, a head on 20 random samples
        # and the names 58.6 and 48.9 %, on 40 60.7 and 51.6 %, on 80 (a label each) 63.2 and 59.5 %.
        if profile.samples < profile.labels:
            return f"{profile.samples} samples of {profile.labels} labels, of one a label on the average needed"
    if profile.labels > MAX_LABELS:
        return f"{profile.labels} labels, of at most {MAX_LABELS}"
    if profile.samples > MAX_SAMPLES:
        return f"{profile.samples} samples, of at most {MAX_SAMPLES}"
    return None


def _refuse(backbone: Backbone, data: TrainingSet) -> None:
    """Raises what `Method.fit` promises."""
    import numpy as np

    if data.feature_space != backbone.space.id:
        raise WrongFeatureSpace(
            f"features of space {data.feature_space}, but backbone {backbone.name} yields {backbone.space.id}",
            fix="embed the samples again with this backbone",
        )
    counts = np.bincount(data.targets, minlength=len(data.labels))
    if len(data.labels) < MIN_LABELS:
        raise Invalid(
            f"{len(data.labels)} labels, expected at least {MIN_LABELS}",
            fix="add samples of another label",
            code="too_few_labels",
        )
    if data.names is None and counts.min() < MIN_PER_LABEL:
        short = int((counts < MIN_PER_LABEL).sum())
        raise Invalid(
            f"{short} of {len(counts)} labels have fewer than {MIN_PER_LABEL} samples, the rarest {counts.min()}",
            fix=f"give each label at least {MIN_PER_LABEL} samples, declare it, or remove it",
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
    if data.names is not None and (unnamed := _broken_rows(data.names)):
        raise Invalid(
            f"{len(unnamed)} labels' names have features that are not finite (the first is label {unnamed[0]})",
            fix="rename the label, or adapt again",
            code="features_not_finite",
        )


def _broken_rows(features: Floats) -> list[int]:
    """Rows with a NaN, an infinity, or a value that only a fault can make."""
    import numpy as np

    largest = np.maximum(features.max(axis=1), -features.min(axis=1))  # NaN goes through both
    broken: list[int] = np.flatnonzero(~(largest < LARGEST_FEATURE)).tolist()
    return broken
