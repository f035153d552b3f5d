"""`partial`: the top blocks, each at a smaller rate than the one above; served as a network of its own."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tsugiki.domain import Budget, Fitted, MethodName, Profile, TrainingSet, Verdict, WeightsDelta
from tsugiki.ports import Backbone, Progress
from tsugiki.training.costs import assess_deep, blocks_in
from tsugiki.training.hyperparameters import MOST_BLOCKS, a_part_of, decay, epochs, number, rate, smoothing, whole

if TYPE_CHECKING:
    import torch

    from tsugiki.training.network import Attached


PART = 1 / 3  # of the blocks, from the top: MiniLM's two of six


@dataclass(frozen=True, slots=True)
class PartialMethod:
    """The `top_blocks`, the highest at `learning_rate`, each one below at `rate_decay` times that of its neighbour."""

    fewest_per_label: ClassVar[int] = 8  # as for all of them
    weights_too: ClassVar[bool] = True

    top_blocks: int | None = whole(
        None, "how many blocks, from the top", least=1, most=MOST_BLOCKS, null="a third of them"
    )
    epochs: float = epochs(4.0)
    learning_rate: float = rate(2e-4, "of the highest block")
    rate_decay: float = number(0.7, "a block's rate by that of the one above", least=0.1, most=1.0)
    head_learning_rate: float = rate(1e-3, "of the head")
    weight_decay: float = decay(0.01)
    label_smoothing: float = smoothing(0.0)

    @property
    def name(self) -> MethodName:
        return "partial"

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        top_blocks = self.top_blocks or a_part_of(blocks_in(profile), PART)
        return assess_deep(self, profile, budget, top_blocks)

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        from tsugiki.training.deep import fit_deep

        return fit_deep(self, backbone, data, budget, progress)

    def attach(self, encoder: torch.nn.Module) -> Attached:
        """Groups of parameters, the highest block first, and with it what comes after it."""
        from tsugiki.training.network import (
            Attached,
            Group,
            above_blocks,
            blocks_of,
            used_parameters,
            weight_groups,
        )

        blocks = blocks_of(encoder)
        top_blocks = min(self.top_blocks or a_part_of(len(blocks), PART), len(blocks))
        first = len(blocks) - top_blocks
        named = used_parameters(encoder)
        groups: list[Group] = []
        if above := above_blocks(encoder):
            groups += weight_groups(above, self.learning_rate, self.weight_decay)
        for depth, block in enumerate(reversed(list(blocks)[first:])):
            inside = {id(parameter) for parameter in block.parameters()}
            own = {name: parameter for name, parameter in named.items() if id(parameter) in inside}
            groups += weight_groups(own, self.learning_rate * self.rate_decay**depth, self.weight_decay)
        return Attached(tuple(groups), first, WeightsDelta, {"top_blocks": top_blocks})
