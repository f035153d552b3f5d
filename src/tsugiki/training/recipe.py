"""What every method that trains the network tells of itself, and nothing else differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    import torch

    from tsugiki.domain import MethodName
    from tsugiki.training.network import Attached


class Recipe(Protocol):
    """How a method trains: what it attaches to an encoder, and for how long; rates are peaks.

    `weights_too`: whether weights themselves get gradients, not matrices beside them.
    """

    fewest_per_label: ClassVar[int]
    weights_too: ClassVar[bool]

    @property
    def name(self) -> MethodName: ...
    @property
    def epochs(self) -> float: ...
    @property
    def head_learning_rate(self) -> float: ...
    @property
    def label_smoothing(self) -> float: ...
    def attach(self, encoder: torch.nn.Module) -> Attached:
        """Changes it in place; draws from torch's generator, which is seeded before."""
        ...
