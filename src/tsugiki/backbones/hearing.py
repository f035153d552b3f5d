"""Ways to make a sound's samples a row, besides Whisper's: as folders say them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from tsugiki.backbones.fbank import frames_in, log_fbank
from tsugiki.backbones.mel import HOP, POSITION, log_mel
from tsugiki.backbones.wave import levelled
from tsugiki.domain import Prepared

if TYPE_CHECKING:
    from tsugiki.domain import Floats


@dataclass(frozen=True, slots=True)
class Wave:
    """The samples themselves, perhaps brought to mean 0 and variance 1; convolutions make positions of them."""

    normalise: bool
    kernels: tuple[int, ...]
    strides: tuple[int, ...]

    def positions(self, samples: int) -> int:
        """That the convolutions yield."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def samples(self, positions: int) -> int:
        """The fewest that yield so many."""
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            positions = (positions - 1) * stride + kernel
        return positions


@dataclass(frozen=True, slots=True)
class Fbank:
    """So many frames of log-mel energies, whatever a sound's length, scaled; each counts `tokens` in a pass."""

    frames: int
    bins: int
    middle: float
    spread: float
    tokens: int


Hearing = Wave | Fbank


def heard(samples: Floats, hearing: Hearing | None) -> Prepared:
    """By Whisper's frames where there is none."""
    match hearing:
        case None:
            frames = log_mel(samples)
            return Prepared(frames, len(frames) * HOP // POSITION)
        case Wave():
            row = levelled(samples, hearing.samples(1), normalise=hearing.normalise)
            return Prepared(row, hearing.positions(len(row)))
        case Fbank(frames, bins, middle, spread, tokens):
            row = log_fbank(samples, frames=frames, bins=bins, middle=middle, spread=spread)
            return Prepared(row, tokens, frames_in(len(samples)) > frames)
        case _:
            assert_never(hearing)
