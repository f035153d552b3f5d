"""`partial`: the top blocks, each at a smaller rate than the one above; served as a network of its own."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from tsugiki.domain import Budget, Fitted, MethodName, Modality, Profile, TrainingSet, Verdict, WeightsDelta
from tsugiki.ports import Backbone, Progress
from tsugiki.training.costs import assess_deep, blocks_in
from tsugiki.training.hyperparameters import MOST_BLOCKS, a_part_of, decay, epochs, number, rate, smoothing, used, whole

if TYPE_CHECKING:
    import torch

    from tsugiki.training.network import Attached


PART, PICTURE_PART = 1 / 3, 1 / 4  # of the blocks, from the top: MiniLM's two of six
# EfficientNet-Lite0 on flowers5's training part, 100 a label, each of five folds judged by the others (errors of the
# differences 0.8 to 1.1 points), the head on the frozen network beside the head on the trained one. On the last block's
# features alone, top five blocks: 89.2 and 90.6, log loss 0.305 and 0.266. With the middle block's, which stay as they
# are while the top four learn: four passes 90.8 and 91.2 (0.277, 0.241); six passes 90.2 and 91.6 (0.290, 0.247), in
# other folds 90.8 and 90.0 (0.277, 0.247). Twice the rate: 90.2 and 90.4 of five blocks. Serving weights between the
# old and the new ones was worse the nearer to the old.
RATE, PICTURE_RATE = 2e-4, 4e-4


@dataclass(frozen=True, slots=True)
class PartialMethod:
    """The `top_blocks`, the highest at `learning_rate`, each one below at `rate_decay` times that of its neighbour."""

    fewest_per_label: ClassVar[int] = 8  # as for all of them
    weights_too: ClassVar[bool] = True
    share: ClassVar[float] = PART  # of the blocks, where their number is not given

    top_blocks: int | None = whole(
        None, "how many blocks, from the top", least=1, most=MOST_BLOCKS, null="a third of them; a fourth, of pictures"
    )
    epochs: float = epochs(4.0)
    learning_rate: float | None = rate(None, "of the highest block", f"{RATE:g}; {PICTURE_RATE:g}, of pictures")
    rate_decay: float = number(0.7, "a block's rate by that of the one above", least=0.1, most=1.0)
    head_learning_rate: float = rate(1e-3, "of the head")
    weight_decay: float = decay(0.01)
    label_smoothing: float = smoothing(0.0)

    @property
    def name(self) -> MethodName:
        return "partial"

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        recipe = self._for(profile.modality)
        return assess_deep(recipe, profile, budget, recipe._top_of(blocks_in(profile)))

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        from tsugiki.training.deep import fit_deep

        return fit_deep(self._for(backbone.modality), backbone, data, budget, progress)

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
        top_blocks = self._top_of(len(blocks))
        first = len(blocks) - top_blocks
        named = used_parameters(encoder)
        highest = self.learning_rate or RATE
        groups: list[Group] = []
        if above := above_blocks(encoder):
            groups += weight_groups(above, highest, self.weight_decay)
        for depth, block in enumerate(reversed(list(blocks)[first:])):
            inside = {id(parameter) for parameter in block.parameters()}
            own = {name: parameter for name, parameter in named.items() if id(parameter) in inside}
            groups += weight_groups(own, highest * self.rate_decay**depth, self.weight_decay)
        return Attached(tuple(groups), first, WeightsDelta, {"top_blocks": top_blocks})

    def _for(self, modality: Modality) -> PartialMethod:
        """What was not given is as served best of such inputs."""
        rate = PICTURE_RATE if modality == "image" else RATE
        settled = replace(self, learning_rate=self.learning_rate or rate)
        return _OfPictures(**used(settled)) if modality == "image" else settled

    def _top_of(self, blocks: int) -> int:
        return min(self.top_blocks or a_part_of(blocks, self.share), blocks)


@dataclass(frozen=True, slots=True)
class _OfPictures(PartialMethod):
    share: ClassVar[float] = PICTURE_PART
