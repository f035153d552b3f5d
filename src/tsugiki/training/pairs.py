"""What is minimised where samples are few: those of one label are to point the same way, those of two not."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# torch's annotations leave some results unknown.

from __future__ import annotations

import torch


def pair_loss(features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How far the cosine of every pair of rows is from 1 (one label) or 0 (two), squared; both kinds weigh alike.

    `features` (rows, dim), `targets` (rows,). It is what SetFit trains a network by (Tunstall et al. 2022, arXiv
    2209.11055), but of all pairs at once, so that each row is computed once a step and not once a pair.
    """
    pointing = torch.nn.functional.normalize(features, dim=1)
    first, second = torch.triu_indices(len(targets), len(targets), 1, device=features.device)
    cosines = (pointing @ pointing.t())[first, second]
    alike = targets[first] == targets[second]
    kinds = [(cosines[alike] - 1.0).square(), cosines[~alike].square()]
    # Of a fold's few rows there may be no two of one label; of a batch what the others left may be a single row.
    means = [kind.mean() for kind in kinds if len(kind)]
    return torch.stack(means).mean() if means else features.sum() * 0.0
