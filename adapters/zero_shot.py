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

# A product of 1, where names are 1 apart in the mean square from their own middle, is a score of 1 / this. Some
# networks crowd all texts together: on training rows of clinc150, hwu64 and banking77 the log loss was least at 1/13 to
# 1/18 by MiniLM, USE and E5 alike, and by cosines at 1/16 to 1/100. There are no samples to learn it from.
TEMPERATURE = 1 / 14
# Of the mean square of names, and no less: two that are spelt almost alike would make everything certain. E5's are
# 0.12 to 0.19 apart.
LEAST_SPREAD = 0.02
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
        """Every sample there is counts as held out, for none is looked at.

        Texts are compared by what the last block makes of them, for that is what a network was trained to be compared
        by. The middle one, which helps a head, says less of E5's: right on 66, 51, 55 % of clinc150, hwu64, banking77
        by the last block, on 33, 39, 33 % by both; by MiniLM 70, 54, 61 and 69, 53, 61, by USE 59, 53, 51 and 62, 55,
        53 (training rows, of which no label was looked at).
        """
        import numpy as np

        from tsugiki.training.temperature import probabilities

        names = _names(backbone, data)
        progress.check()
        width = backbone.space.widths[0]
        last = names[:, :width]
        spread = float(np.square(last - last.mean(axis=0)).sum() / (len(last) - 1))
        least = LEAST_SPREAD * float(np.square(last).sum(axis=1).mean())
        weight = np.zeros_like(names, np.float32)
        weight[:, :width] = last / max(spread, least, float(np.finfo(np.float32).tiny))
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
