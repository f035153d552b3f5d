"""`head`: a linear classifier on the features of the frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tsugiki.domain import Budget, Fitted, MethodName, Profile, TrainingSet, Verdict
from tsugiki.ports import Backbone, Progress
from tsugiki.training.blending import hears_names
from tsugiki.training.degenerate import refuse, skip_reason
from tsugiki.training.effort import estimate_peak_bytes, plan_effort
from tsugiki.training.hyperparameters import number, used
from tsugiki.training.losses import truths_of

LEAST_L2, MOST_L2 = 1e-6, 1e4  # three orders beyond the strengths that are tried


@dataclass(frozen=True, slots=True)
class HeadMethod:
    l2: float | None = number(
        None,
        "L2 strength on features of mean square norm 1",
        least=LEAST_L2,
        most=MOST_L2,
        null="whichever served held-out samples best",
    )

    @property
    def name(self) -> MethodName:
        return "head"

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        named = profile.task == "single_label" and hears_names(profile.samples, profile.labels, profile.min_per_label)
        effort = plan_effort(
            profile.samples,
            profile.dim,
            profile.labels,
            budget.seconds,
            named=named,
            strength=self.l2,
            widths=profile.widths,
            modality=profile.modality,
        )
        peak_bytes = estimate_peak_bytes(profile.samples, profile.dim, profile.labels, effort)
        return Verdict(self.name, effort.seconds, peak_bytes, skip_reason(profile, named=profile.named))

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        """Deterministic for given data, folds and threads: nothing is drawn, so `data.seed` is not used."""
        from tsugiki.evaluation.scope import find_scope, find_set_scope
        from tsugiki.training.fit import fit_head
        from tsugiki.training.fitted import fitted_of

        refuse(backbone, data, named=data.names is not None)
        rows, dim = len(data.features), data.features.shape[1]
        named = data.names is not None
        widths = backbone.space.widths
        effort = plan_effort(
            rows,
            dim,
            len(data.labels),
            budget.seconds,
            named=named,
            strength=self.l2,
            widths=widths,
            modality=backbone.modality,
        )
        found = fit_head(
            data.features,
            data.targets,
            data.folds,
            data.groups,
            len(data.labels),
            effort,
            progress.phase,
            progress.check,
            data.names,
            truths_of(data),
        )
        progress.metric("held_out_log_loss", min(found.losses))
        details = {
            **used(self),
            "l2": found.strength,
            "strength": found.strength,
            "name_weight": found.name_weight,
            "evened": found.evened,
            "steps": found.steps,
            "every_fold": effort.every_fold,
            "path": [{"strength": s, "loss": loss} for s, loss in zip(effort.strengths, found.losses, strict=False)],
        }
        fitted = fitted_of(self.name, data, found, details)
        if (truths := truths_of(data)) is None:
            scope = find_scope(data.features, data.targets, data.folds, fitted.held_out)
        else:
            scope = find_set_scope(data.features, truths[data.targets] > 0, data.folds, fitted.held_out)
        head = replace(fitted.graft.head, scope=scope)
        return replace(fitted, graft=replace(fitted.graft, head=head))
