"""The lower blocks of a network that are not trained: what they yield for each row, computed once."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tsugiki.backbones.inputs import stack
from tsugiki.training.batches import length_batches
from tsugiki.training.costs import MOST_KEPT_BYTES
from tsugiki.training.network import ENCODER, blocks_of

if TYPE_CHECKING:
    from tsugiki.domain import Ints, Prepared


class Below:
    """What enters block `first` for each row: (all tokens of all rows, dim), one row of zeros behind it for padding.

    `lower` (rows, dim) is their part of the features, None where they have none.
    """

    def __init__(self, hidden: torch.Tensor, lower: torch.Tensor | None, lengths: Sequence[int], first: int) -> None:
        self.first = first
        self._hidden = hidden
        self._lower = lower
        self._starts = np.concatenate([[0], np.cumsum(lengths)])

    def batch(self, rows: Ints) -> torch.Tensor:
        """(rows, tokens, dim) as the network would have it; padding is 0, where nobody looks."""
        lengths = self._starts[rows + 1] - self._starts[rows]
        places = np.arange(int(lengths.max()))[None, :]
        index = np.where(places < lengths[:, None], self._starts[rows][:, None] + places, self._starts[-1])
        return self._hidden[torch.from_numpy(index).to(self._hidden.device)]

    def batch_lower(self, rows: Ints) -> torch.Tensor | None:
        """(rows, dim) of the features, as `lower` of the network wants it."""
        return None if self._lower is None else self._lower[torch.from_numpy(rows).to(self._lower.device)]


class Replay(torch.nn.Module):
    """Stands for the blocks below: whatever comes in, `hidden` goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: torch.Tensor | None = None

    def forward(self, hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:  # Any: whatever a block is given
        assert self.hidden is not None, "a batch is set before its pass; this is a bug"
        return self.hidden


def compute_below(
    network: torch.nn.Module, rows: Sequence[Prepared], dim: int, first: int, check: Callable[[], None]
) -> Below | None:
    """`network` unchanged, of `dim` numbers a token. None where there is nothing below, or more than is kept."""
    encoder = network.get_submodule(ENCODER)
    weight = next(encoder.parameters())
    lengths = [row.size for row in rows]
    total = sum(lengths)
    if first == 0 or (total + 1) * dim * weight.element_size() > MOST_KEPT_BYTES:
        return None
    kept = torch.zeros((total + 1, dim), dtype=weight.dtype, device=weight.device)
    middle: Any = network.middle  # Any: torch takes it for a tensor or a module
    lower = torch.zeros((len(rows), dim), device=weight.device) if middle is not None and middle <= first else None
    starts = np.concatenate([[0], np.cumsum(lengths)])
    seen: list[torch.Tensor] = []

    def look(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        seen.append(given[0])

    hook = blocks_of(encoder)[first].register_forward_pre_hook(look)
    try:
        with torch.no_grad():
            for part in length_batches(lengths, np.random.default_rng(0)):
                check()
                batch = stack([rows[row].row for row in part])
                features = network(*(torch.from_numpy(side).to(weight.device) for side in batch.values()))
                if lower is not None:
                    lower[torch.from_numpy(part)] = features[:, dim:]
                hidden = seen.pop()
                for place, row in enumerate(part.tolist()):
                    kept[starts[row] : starts[row + 1]] = hidden[place, : lengths[row]]
    finally:
        hook.remove()
    return Below(kept, lower, lengths, first)


def replay_below(network: torch.nn.Module, first: int) -> Replay:
    """Puts what stands for the blocks below `first` in their place."""
    blocks = blocks_of(network.get_submodule(ENCODER))
    replay = Replay()
    for place in range(first):
        blocks[place] = replay
    return replay
