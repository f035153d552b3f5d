"""A network in training: batches in, losses and better parameters out."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tsugiki.backbones.inputs import stack
from tsugiki.training.augmentation import varied
from tsugiki.training.batches import near_lengths
from tsugiki.training.contrast import contrast_loss
from tsugiki.training.frozen import Below, replay_below
from tsugiki.training.network import LOWER, Attached
from tsugiki.training.pairs import pair_loss

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Head, Ints, Prepared
    from tsugiki.training.objective import Objective

LONGEST_STEP = 1.0  # norm of the gradient beyond which it is clipped, the usual one (Pascanu et al. 2013)


@dataclass(frozen=True, slots=True)
class Aim:
    """What is minimised: cross-entropy, the truth softened by `smoothing`, classes by `weights` (classes,) or alike.

    With `truths` (kinds, classes), which targets index then, the binary cross-entropy of each class, summed.
    By another objective it is what pairs.py or contrast.py says instead, and the head does not learn along.
    """

    smoothing: float
    weights: Floats | None
    head_rate: float
    truths: Floats | None = None
    seed: int = 0
    objective: Objective = "labels"


class Learner:
    """`network` as `attached` changed it, and a head that learns along.

    What is trained has a copy in float32 that the optimiser moves; the network is moved to `where` and computes in
    `kind`, perhaps shorter numbers. `rows` are all there are; batches name them by index.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        attached: Attached,
        rows: Sequence[Prepared],
        below: Below | None,
        head: Head,
        aim: Aim,
        where: torch.device,
        kind: torch.dtype,
    ) -> None:
        self._rows = rows
        self._below = below
        self._smoothing = aim.smoothing
        self._objective: Objective = aim.objective
        self._where = where
        self._random = torch.Generator().manual_seed(aim.seed)
        network.requires_grad_(False)
        self._working = {
            name: p.requires_grad_(True) for group in attached.groups for name, p in group.parameters.items()
        }
        # Before the network's own numbers are shortened: what no step moved stays what it was.
        self._masters = {name: p.detach().float().clone().to(where) for name, p in self._working.items()}
        self._replay = None if below is None else replay_below(network, below.first)
        self._network = network.to(where, kind)
        self._class_weights = None if aim.weights is None else torch.from_numpy(aim.weights).to(where)
        self._truths = None if aim.truths is None else torch.from_numpy(aim.truths).to(where)
        self._weight = torch.from_numpy(head.weight / np.float32(head.temperature)).to(where).requires_grad_(True)
        self._bias = torch.from_numpy(head.bias / np.float32(head.temperature)).to(where).requires_grad_(True)
        groups = [
            {
                "params": [self._masters[name] for name in group.parameters],
                "lr": group.rate,
                "weight_decay": group.decay,
            }
            for group in attached.groups
        ]
        groups.append({"params": [self._weight, self._bias], "lr": aim.head_rate, "weight_decay": 0.0})
        self._peaks = [*(group.rate for group in attached.groups), aim.head_rate]
        self._optimiser = torch.optim.AdamW(groups, foreach=True)

    def step(self, batch: Ints, targets: Ints, rate: float) -> float:
        """One batch at `rate` times the peak rates; the loss before it.

        If that is no number, or has no gradient that is one, nothing changes, and what is returned is infinite or NaN.
        """
        features = self._features(batch, self._random)
        wanted = torch.from_numpy(targets).to(features.device)
        match self._objective:
            case "pairs":
                loss = pair_loss(features, wanted)
            case "contrast":
                loss = contrast_loss(features, wanted)
            case "labels":
                loss = self._loss(self._scored(features), wanted)
        value = float(loss.detach())
        if value != value or value == float("inf"):
            return value
        loss.backward()
        for name, master in self._masters.items():
            gradient = self._working[name].grad
            master.grad = None if gradient is None else gradient.float()
            self._working[name].grad = None
        moved = [*self._masters.values(), self._weight, self._bias]
        length = torch.nn.utils.clip_grad_norm_(moved, LONGEST_STEP, error_if_nonfinite=False)
        if not bool(length.isfinite()):
            self._optimiser.zero_grad(set_to_none=True)
            return float("inf")
        for group, peak in zip(self._optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._copy_masters()
        return value

    def scores(self, batch: Ints) -> Floats:
        """(rows, classes) by the head that learns along."""
        with torch.inference_mode():
            found: Floats = self._scored(self._features(batch)).cpu().numpy()
        return found

    def state(self) -> list[torch.Tensor]:
        """A copy of all that is trained."""
        return [tensor.detach().clone() for tensor in (*self._masters.values(), self._weight, self._bias)]

    def restore(self, state: Sequence[torch.Tensor]) -> None:
        with torch.no_grad():
            for tensor, kept in zip((*self._masters.values(), self._weight, self._bias), state, strict=True):
                tensor.copy_(kept)
        self._copy_masters()

    def values(self) -> dict[str, Floats]:
        """What was trained of the encoder, by name, float32."""
        return {name: master.detach().cpu().numpy().copy() for name, master in self._masters.items()}

    def head(self) -> tuple[Floats, Floats]:
        """Weight (classes, dim) and bias (classes,) of the head that learns along."""
        return self._weight.detach().cpu().numpy().copy(), self._bias.detach().cpu().numpy().copy()

    def _features(self, batch: Ints, random: torch.Generator | None = None) -> torch.Tensor:
        """With `random` of the inputs as they might also have been, where what is kept of them below allows it.

        What is beside one another for its label's sake is of all lengths, and goes through by parts of near ones.
        """
        parts = near_lengths([self._rows[row].size for row in batch]) if self._objective != "labels" else ()
        if len(parts) > 1:
            places = torch.from_numpy(np.argsort(np.concatenate(parts))).to(self._where)
            return torch.cat([self._pass(batch[part], random) for part in parts])[places]
        return self._pass(batch, random)

    def _pass(self, batch: Ints, random: torch.Generator | None) -> torch.Tensor:
        inputs = [
            torch.from_numpy(part).to(self._where) for part in stack([self._rows[row].row for row in batch]).values()
        ]
        if random is not None and self._below is None:
            inputs = varied(inputs, random)
        if self._below is not None and self._replay is not None:
            self._replay.hidden, lower = self._below.batch(batch, random)
            setattr(self._network, LOWER, lower)
        return self._network(*inputs)

    def _scored(self, features: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(features, self._weight, self._bias)

    def _loss(self, scores: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        if self._truths is None:
            return torch.nn.functional.cross_entropy(
                scores, wanted, weight=self._class_weights, label_smoothing=self._smoothing
            )
        truth = self._truths[wanted] * (1.0 - self._smoothing) + 0.5 * self._smoothing
        each = torch.nn.functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")
        return each.sum(dim=1).mean()

    def _copy_masters(self) -> None:
        with torch.no_grad():
            for name, master in self._masters.items():
                self._working[name].copy_(master)
