"""What is minimised where labels are many and samples of each few: who is of a sample's label, among all beside it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# torch's annotations leave some results unknown.

from __future__ import annotations

import torch

TEMPERATURE = 0.07  # of cosines; the usual one (Khosla et al. 2020). 0.1 served no better, see objective.py


def contrast_loss(features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The log loss of naming, for each row, another one of its label by their cosine, over all rows but itself.

    `features` (rows, dim), `targets` (rows,); rows that are alone of their label only stand in others' way. Supervised
    contrastive learning (Khosla et al. 2020, arXiv 2004.11362), for which no batch has to hold all labels.
    """
    pointing = torch.nn.functional.normalize(features, dim=1)
    itself = torch.eye(len(targets), dtype=torch.bool, device=features.device)
    scores = (pointing @ pointing.t() / TEMPERATURE).masked_fill(itself, -torch.inf)
    alike = (targets[:, None] == targets[None, :]) & ~itself
    others = alike.sum(dim=1)
    chances = torch.log_softmax(scores, dim=1).masked_fill(~alike, 0.0).sum(dim=1)
    if not bool((others > 0).any()):  # nothing to learn, which is no error: of a fold's rows there may be no two alike
        return features.sum() * 0.0
    return -(chances / others.clamp(min=1))[others > 0].mean()
