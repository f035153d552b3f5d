"""`lora`: small matrices beside the weights of linear modules, served from the bank. The only file that knows peft."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and peft leave much of their types unknown.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from tsugiki.domain import Budget, Fitted, LoraDelta, LoraPair, MethodName, Profile, TrainingSet, Verdict
from tsugiki.ports import Backbone, Progress
from tsugiki.training.costs import assess_deep, blocks_in
from tsugiki.training.hyperparameters import MOST_BLOCKS, a_part_of, choice, epochs, number, rate, smoothing, whole
from tsugiki.training.objective import expected_objective, objective_of

if TYPE_CHECKING:
    import torch

    from tsugiki.domain import Floats
    from tsugiki.training.network import Attached
    from tsugiki.training.objective import Objective

# Of contrast (see training/objective.py): passes over the samples, at most, and the part served of what they taught. A
# network half way between what it was and what it was trained to be often serves better than either (Wortsman et al.
# 2022, arXiv 2109.01903).
CONTRASTED_EPOCHS, CONTRASTED_PART = 4.0, 0.35
# The rate of a training by pairs of more samples than FEW_PAIRED, and the usual one. With 64 a label by pairs, on rows
# of training parts not trained on: 1e-3 in batches of 32 as objective.py tells; 2e-3 in such batches -1.4 on cr and
# +2.8 on sst5, a draw each, where 1e-3 had +1.4 and +6.6; in batches of 64 +3.3 on cr (three draws), +4.0 on sst5, +8.0
# on amazon_cf_en, where 1e-3 had +4.2, +6.6 and +11.0; 16 epochs at 1e-3 -0.1 on that draw of cr, 5e-4 +2.5 on one of
# sst5 where 1e-3 had +5.4. With 8 a label, some eight steps in all, 2e-3 served better: cr +9.5, not +8.0, amazon_cf_en
# +1.2, not -2.5 (a draw each).
RATE, PAIRED_RATE, FEW_PAIRED = 2e-3, 1e-3, 64
# Passes by pairs over more samples than MANY_PAIRED, at most: there four taught as much as eight, see objective.py.
MANY_PAIRED, MANY_PAIRED_EPOCHS = 1_000, 4.0
LEAST_PART = 0.01  # with less, no answer changes
PART = 1 / 2  # of the blocks, from the top: MiniLM's three of six
ATTENTION = frozenset({"attention", "self_attn"})  # a part of the names of its modules
MOST_RANK = 64  # twice the largest bucket of the bank (runtime/loras.py); beyond, weights themselves are cheaper
ADAPTER = "default"  # peft's own name for the first one
A, B = f".lora_A.{ADAPTER}.weight", f".lora_B.{ADAPTER}.weight"

Targets = Literal["attention", "all"]


@dataclass(frozen=True, slots=True)
class LoraMethod:
    """Matrices of `rank` on the attention's or all linear modules of the `top_blocks`."""

    fewest_per_label: ClassVar[int] = 4  # to train on three where one is held out
    weights_too: ClassVar[bool] = False

    # Three of MiniLM's six blocks, seven epochs of 770 samples (10 a class, banking77): 87.9 % of 1,000 validation
    # rows, the frozen head 86.7. A rate of 5e-3 was at 87.5 after five; all blocks were not compared, a step takes
    # three times as long there. Of few texts see objective.py.
    rank: int = whole(16, "rank of the matrices; their scale is 1", least=1, most=MOST_RANK)
    top_blocks: int | None = whole(
        None,
        "how many blocks, from the top",
        least=1,
        most=MOST_BLOCKS,
        null="half of them; all, where labels or texts of each are few",
    )
    targets: Targets = choice(
        "all",
        "which linear modules of a block get matrices (1 x 1 convolutions where it has no attention)",
        get_args(Targets),
    )
    epochs: float = epochs(
        8.0,
        f"; no more than {CONTRASTED_EPOCHS:g} where labels are many and texts of each few, than "
        f"{MANY_PAIRED_EPOCHS:g} where labels are few and texts over {MANY_PAIRED:,}",
    )
    learning_rate: float | None = rate(
        None, "of the matrices", null=f"{RATE:g}; {PAIRED_RATE:g}, where labels are few and texts more than some dozens"
    )
    head_learning_rate: float = rate(2e-3, "of the head beside them")
    label_smoothing: float = smoothing(0.05)
    part: float | None = number(
        None,
        "how much of what was learnt is served",
        least=LEAST_PART,
        most=1.0,
        null=f"all of it; {CONTRASTED_PART:g}, where labels are many and texts of each few",
    )

    @property
    def name(self) -> MethodName:
        return "lora"

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        recipe = self._for(expected_objective(profile), profile.samples)
        blocks = blocks_in(profile)
        top_blocks = min(recipe.top_blocks or a_part_of(blocks, PART), blocks)
        numbers = top_blocks * 18 * profile.width * self.rank  # in and out of six modules, two of them four dim wide
        return assess_deep(recipe, profile, budget, top_blocks, numbers)

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        from tsugiki.training.deep import fit_deep

        objective = objective_of(backbone.modality, data)
        return fit_deep(self._for(objective, len(data.targets)), backbone, data, budget, progress, objective)

    def _for(self, objective: Objective, samples: int) -> LoraMethod:
        """What was not given is as served best by that objective; of passes no more than it bears."""
        usual_rate, most_epochs, usual_part = RATE, self.epochs, 1.0
        match objective:
            case "contrast":
                most_epochs, usual_part = CONTRASTED_EPOCHS, CONTRASTED_PART
            case "pairs":
                usual_rate = PAIRED_RATE if samples > FEW_PAIRED else RATE
                most_epochs = MANY_PAIRED_EPOCHS if samples > MANY_PAIRED else self.epochs
            case "labels":
                pass
        return replace(
            self,
            top_blocks=self.top_blocks or (None if objective == "labels" else MOST_BLOCKS),
            epochs=min(self.epochs, most_epochs),
            learning_rate=self.learning_rate or usual_rate,
            part=self.part or usual_part,
        )

    def attach(self, encoder: torch.nn.Module) -> Attached:
        """Matrices that add nothing yet, beside the modules."""
        from peft import LoraConfig, inject_adapter_in_model
        from peft.tuners.lora import Linear

        from tsugiki.training.network import Attached, Group, blocks_of

        blocks = blocks_of(encoder)
        top_blocks = min(self.top_blocks or a_part_of(len(blocks), PART), len(blocks))
        first = len(blocks) - top_blocks
        targets = self._targets(encoder, blocks[first:])
        config = LoraConfig(r=self.rank, lora_alpha=self.rank, target_modules=targets, bias="none")
        inject_adapter_in_model(config, encoder, ADAPTER)
        for name in targets:
            if isinstance(layer := encoder.get_submodule(name), Linear):
                _quicken(layer)
        matrices = {name: p for name, p in encoder.named_parameters() if name.endswith((A, B))}
        groups = (Group(matrices, self.learning_rate or RATE, 0.0),)
        return Attached(groups, first, partial(_as_delta, part=self.part or 1.0), {"top_blocks": top_blocks})

    def _targets(self, encoder: torch.nn.Module, blocks: torch.nn.ModuleList) -> list[str]:
        import torch

        inside = {id(module) for module in blocks.modules()}
        linear = [
            name
            for name, module in encoder.named_modules()
            if id(module) in inside and (isinstance(module, torch.nn.Linear) or _goes_everywhere(module))
        ]
        attention = [name for name in linear if not ATTENTION.isdisjoint(name.split("."))]
        return attention if attention and self.targets == "attention" else linear


def _goes_everywhere(module: torch.nn.Module) -> bool:
    """Whether it is a linear module at every place: what the bank takes of convolutions (backbones/sites.py)."""
    import torch

    if not isinstance(module, torch.nn.Conv2d):
        return False
    return (module.kernel_size, module.stride, module.groups) == ((1, 1), (1, 1), 1)


def _quicken(layer: Any) -> None:  # Any: peft's
    """The layer's forward as one operation; peft's own, of six, computes the same."""
    from tsugiki.training.low_rank import LowRankLinear

    base, down, up = layer.get_base_layer(), layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]

    def forward(x: torch.Tensor) -> torch.Tensor:
        return LowRankLinear.apply(x, base.weight, base.bias, down.weight, up.weight)

    layer.forward = forward


def _as_delta(values: Mapping[str, Floats], part: float) -> LoraDelta:
    """The scale is `part`, of 1: alpha is the rank."""
    modules = [name.removesuffix(A) for name in values if name.endswith(A)]
    pairs = {m: (_matrix(values[m + A]), _matrix(values[m + B])) for m in modules}
    return LoraDelta({m: LoraPair(a.T.copy(), (part * b.T).copy()) for m, (a, b) in pairs.items()})


def _matrix(values: Floats) -> Floats:
    """Of a convolution's (out, in, 1, 1), as of a matrix, (out, in)."""
    return values.reshape(values.shape[:2])
