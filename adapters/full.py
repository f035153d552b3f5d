"""`full`: every parameter of the network, at a small rate; served as a network of its own."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tsugiki.domain import Budget, Fitted, MethodName, Profile, TrainingSet, Verdict, WeightsDelta
from tsugiki.ports import Backbone, Progress
from tsugiki.training.costs import EMBEDDINGS, TYPICAL_BLOCKS, assess_deep
from tsugiki.training.degenerate import refuse

if TYPE_CHECKING:
    import torch

    from tsugiki.training.network import Attached

FEWEST_PER_LABEL = 8  # of millions of numbers fewer samples tell nothing


@dataclass(frozen=True, slots=True)
class FullMethod:
    epochs: float = 3.0
    rate: float = 1e-4
    head_rate: float = 1e-3
    decay: float = 0.01
    smoothing: float = 0.0

    @property
    def name(self) -> MethodName:
        return "full"

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        numbers = TYPICAL_BLOCKS * 12 * profile.width**2 + EMBEDDINGS * profile.width
        return assess_deep(
            self.name, profile, budget, FEWEST_PER_LABEL, self.epochs, TYPICAL_BLOCKS, numbers, weights_too=True
        )

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        from tsugiki.training.deep import fit_deep
        from tsugiki.training.tutor import Recipe

        refuse(backbone, data, FEWEST_PER_LABEL)
        recipe = Recipe(
            self.attach, self.epochs, self.smoothing, self.head_rate, weights_too=True, details=asdict(self)
        )
        return fit_deep(self.name, backbone, data, budget, progress, recipe)

    def attach(self, encoder: torch.nn.Module) -> Attached:
        """All of it in two groups."""
        from tsugiki.training.network import Attached, used_parameters, weight_groups

        return Attached(weight_groups(used_parameters(encoder), self.rate, self.decay), 0, WeightsDelta)
