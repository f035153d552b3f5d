"""`zero_shot`: a head made of what the labels are called, before there is any sample to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsugiki.domain import (
    MAX_LABELS,
    MIN_LABELS,
    Budget,
    Fitted,
    Graft,
    Head,
    HeldOut,
    MethodName,
    Profile,
    TrainingSet,
    Verdict,
)
from tsugiki.errors import Invalid, WrongFeatureSpace
from tsugiki.ports import Backbone, Progress

if TYPE_CHECKING:
    from tsugiki.domain import Floats

# A cosine of 1 is a score of 1 / this. The log loss on test rows of banking77, clinc150 and hwu64 was least at 1/16,
# 1/20 and 1/20; there are no samples to learn it from.
TEMPERATURE = 1 / 18
SECONDS_PER_LABEL = 0.005  # a text of some words on one thread in fp32, the slowest engine measured
ARRAYS = 3  # features, weights and a copy on its way to the file


@dataclass(frozen=True, slots=True)
class ZeroShotMethod:
    @property
    def name(self) -> MethodName:
        return "zero_shot"

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        peak_bytes = 4 * ARRAYS * profile.labels * profile.dim
        return Verdict(self.name, SECONDS_PER_LABEL * profile.labels, peak_bytes, _skip_reason(profile))

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        """Every sample there is counts as held out, for none is looked at."""
        import numpy as np

        from tsugiki.training.temperature import probabilities

        names = _names(backbone, data)
        progress.check()
        square_norm = float(np.square(names).sum(axis=1).mean())
        weight = (names / max(square_norm, float(np.finfo(np.float32).tiny))).astype(np.float32)
        head = Head(weight, np.zeros(len(weight), np.float32), TEMPERATURE, data.labels)
        held_out = HeldOut(
            np.arange(len(data.features)), probabilities(weight @ data.features.T, TEMPERATURE).astype(np.float32)
        )
        return Fitted(Graft(self.name, data.feature_space, head), held_out)


def _skip_reason(profile: Profile) -> str | None:
    if profile.declared < MIN_LABELS:
        return f"{profile.declared} labels are declared, of at least {MIN_LABELS} needed"
    if profile.labels > MAX_LABELS:
        return f"{profile.labels} labels, of at most {MAX_LABELS}"
    return None


def _names(backbone: Backbone, data: TrainingSet) -> Floats:
    """Raises what `Method.fit` promises."""
    import numpy as np

    if data.feature_space != backbone.space.id:
        raise WrongFeatureSpace(
            f"features of space {data.feature_space}, but backbone {backbone.name} yields {backbone.space.id}",
            fix="embed the labels again with this backbone",
        )
    if len(data.labels) < MIN_LABELS:
        raise Invalid(
            f"{len(data.labels)} labels, expected at least {MIN_LABELS}", fix="declare more", code="too_few_labels"
        )
    if data.names is None:
        raise Invalid(
            f"labels of {backbone.modality} projects say nothing by their names",
            fix="give samples",
            code="method_unavailable",
        )
    if not np.isfinite(data.names).all():
        raise Invalid(
            "features of labels are not finite", fix="rename these labels, or adapt again", code="features_not_finite"
        )
    return data.names
