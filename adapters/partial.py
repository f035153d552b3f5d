"""`partial`: the top blocks, each at a smaller rate than the one above; served as a network of its own."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tsugiki.domain import Budget, Fitted, MethodName, Profile, TrainingSet, Verdict, WeightsDelta
from tsugiki.ports import Backbone, Progress
from tsugiki.training.costs import TYPICAL_BLOCKS, assess_deep
from tsugiki.training.degenerate import refuse

if TYPE_CHECKING:
    import torch

    from tsugiki.training.network import Attached

FEWEST_PER_LABEL = 8  # as for all of them


@dataclass(frozen=True, slots=True)
class PartialMethod:
    """The top `blocks`, the highest at `rate`, each one below at `lower` times that of its neighbour above."""

    blocks: int = 2
    epochs: float = 4.0
    rate: float = 2e-4
    lower: float = 0.7
    head_rate: float = 1e-3
    decay: float = 0.01
    smoothing: float = 0.0

    @property
    def name(self) -> MethodName:
        return "partial"

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        trained = min(self.blocks, TYPICAL_BLOCKS)
        numbers = trained * 12 * profile.width**2
        return assess_deep(
            self.name, profile, budget, FEWEST_PER_LABEL, self.epochs, trained, numbers, weights_too=True
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
        """Groups of parameters, the highest block first."""
        from tsugiki.training.network import Attached, Group, blocks_of, used_parameters, weight_groups

        blocks = blocks_of(encoder)
        first = max(0, len(blocks) - self.blocks)
        named = used_parameters(encoder)
        groups: list[Group] = []
        for depth, block in enumerate(reversed(list(blocks)[first:])):
            inside = {id(parameter) for parameter in block.parameters()}
            own = {name: parameter for name, parameter in named.items() if id(parameter) in inside}
            groups += weight_groups(own, self.rate * self.lower**depth, self.decay)
        return Attached(tuple(groups), first, WeightsDelta)
