"""`full`: every parameter of the network, at a small rate; served as a network of its own."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tsugiki.domain import Budget, Fitted, MethodName, Profile, TrainingSet, Verdict, WeightsDelta
from tsugiki.ports import Backbone, Progress
from tsugiki.training.costs import assess_deep
from tsugiki.training.hyperparameters import decay, epochs, rate, smoothing

if TYPE_CHECKING:
    import torch

    from tsugiki.training.network import Attached


@dataclass(frozen=True, slots=True)
class FullMethod:
    fewest_per_label: ClassVar[int] = 8  # of millions of numbers fewer samples tell nothing
    weights_too: ClassVar[bool] = True

    epochs: float = epochs(3.0)
    learning_rate: float = rate(1e-4, "of every weight")
    head_learning_rate: float = rate(1e-3, "of the head")
    weight_decay: float = decay(0.01)
    label_smoothing: float = smoothing(0.0)

    @property
    def name(self) -> MethodName:
        return "full"

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        return assess_deep(self, profile, budget, None)

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        from tsugiki.training.deep import fit_deep

        return fit_deep(self, backbone, data, budget, progress)

    def attach(self, encoder: torch.nn.Module) -> Attached:
        """All of it in two groups."""
        from tsugiki.training.network import Attached, used_parameters, weight_groups

        return Attached(weight_groups(used_parameters(encoder), self.learning_rate, self.weight_decay), 0, WeightsDelta)
