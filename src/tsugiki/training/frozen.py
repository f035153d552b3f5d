"""The lower blocks of a network that are not trained: what they yield for each row, computed once."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch

from tsugiki.backbones.inputs import stack
from tsugiki.training.augmentation import mirrored
from tsugiki.training.batches import BATCH_PICTURES, length_batches
from tsugiki.training.costs import MOST_KEPT_BYTES, VIEWS
from tsugiki.training.network import ENCODER, STEM, blocks_of

if TYPE_CHECKING:
    from tsugiki.domain import Ints, Prepared


class Entering(NamedTuple):
    """Of a batch: what enters the lowest block that is trained, and the part of the features that those below yield."""

    hidden: torch.Tensor
    lower: torch.Tensor | None


class Below(Protocol):
    """What blocks below `first` yield for each row."""

    @property
    def first(self) -> int: ...
    def batch(self, rows: Ints, random: torch.Generator | None = None) -> Entering:
        """As the network would have it; with `random` perhaps of the rows as they might also have been."""
        ...


class Tokens:
    """What enters block `first` for each row: (all tokens of all rows, dim), one row of zeros behind it for padding.

    `lower` (rows, dim) is their part of the features, None where they have none.
    """

    def __init__(self, hidden: torch.Tensor, lower: torch.Tensor | None, lengths: Sequence[int], first: int) -> None:
        self.first = first
        self._hidden = hidden
        self._lower = lower
        self._starts = np.concatenate([[0], np.cumsum(lengths)])

    def batch(self, rows: Ints, random: torch.Generator | None = None) -> Entering:
        """(rows, tokens, dim); padding is 0, where nobody looks. Nothing is drawn."""
        lengths = self._starts[rows + 1] - self._starts[rows]
        places = np.arange(int(lengths.max()))[None, :]
        index = np.where(places < lengths[:, None], self._starts[rows][:, None] + places, self._starts[-1])
        hidden = self._hidden[torch.from_numpy(index).to(self._hidden.device)]
        return Entering(hidden, None if self._lower is None else self._lower[torch.from_numpy(rows).to(hidden.device)])


class Views:
    """The same of pictures, each as it is and as in a mirror: `hidden` (2, rows, ...), `lower` (2, rows, dim).

    With four views more, cut and lit anew (see augmentation.py), the top five blocks of EfficientNet-Lite0 gained 0.2
    points in six passes over flowers5's training part (each fold judged by the others, error 1.0).
    """

    def __init__(self, hidden: torch.Tensor, lower: torch.Tensor | None, first: int) -> None:
        self.first = first
        self._hidden = hidden
        self._lower = lower

    def batch(self, rows: Ints, random: torch.Generator | None = None) -> Entering:
        """(rows, ...), by `random` either way, else as they are."""
        where = self._hidden.device
        drawn = torch.zeros(len(rows), dtype=torch.int64)
        if random is not None:
            drawn = torch.randint(VIEWS, (len(rows),), generator=random)
        places = drawn.to(where), torch.from_numpy(rows).to(where)
        return Entering(self._hidden[places], None if self._lower is None else self._lower[places])


class Replay(torch.nn.Module):
    """Stands for what is below: whatever comes in, `hidden` goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: torch.Tensor | None = None

    def forward(self, hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:  # Any: whatever a block is given
        assert self.hidden is not None, "a batch is set before its pass; this is a bug"
        return self.hidden


def compute_below(
    network: torch.nn.Module, rows: Sequence[Prepared], dim: int, first: int, check: Callable[[], None]
) -> Tokens | None:
    """Of a `network` of `dim` numbers a token. None where there is nothing below, or more than is kept."""
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
    return Tokens(kept, lower, lengths, first)


def compute_views(
    network: torch.nn.Module, rows: Sequence[Prepared], dim: int, first: int, check: Callable[[], None]
) -> Views | None:
    """Of pictures; the last block's part of a feature has `dim` numbers. None as above."""
    if first == 0:
        return None
    encoder = network.get_submodule(ENCODER)
    where = next(encoder.parameters()).device
    middle: Any = network.middle  # Any: torch takes it for a tensor or a module
    seen: list[torch.Tensor] = []

    def look(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        seen.append(given[0])

    def run(part: slice, view: int) -> torch.Tensor:
        check()
        (pixels,) = (torch.from_numpy(side).to(where) for side in stack([row.row for row in rows[part]]).values())
        return network(mirrored(pixels) if view else pixels)

    hook = blocks_of(encoder)[first].register_forward_pre_hook(look)
    try:
        with torch.no_grad():
            lower_dim = run(slice(0, 1), 0).shape[1] - dim
            one = seen.pop()
            if VIEWS * len(rows) * one.nbytes > MOST_KEPT_BYTES:
                return None
            hidden = one.new_empty((VIEWS, len(rows), *one.shape[1:]))
            is_below = middle is not None and middle <= first
            lower = torch.empty((VIEWS, len(rows), lower_dim), device=where) if is_below else None
            for view in range(VIEWS):
                for start in range(0, len(rows), BATCH_PICTURES):
                    part = slice(start, start + BATCH_PICTURES)
                    features = run(part, view)
                    hidden[view, part] = seen.pop()
                    if lower is not None:
                        lower[view, part] = features[:, dim:]
    finally:
        hook.remove()
    return Views(hidden, lower, first)


def replay_below(network: torch.nn.Module, first: int) -> Replay:
    """Puts what stands for the blocks below `first`, and for the stem of a network of pictures, in their place."""
    encoder = network.get_submodule(ENCODER)
    blocks = blocks_of(encoder)
    replay = Replay()
    if isinstance(getattr(encoder, STEM, None), torch.nn.Module):
        setattr(encoder, STEM, replay)
    for place in range(first):
        blocks[place] = replay
    return replay
