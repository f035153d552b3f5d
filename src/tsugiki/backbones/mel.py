"""The logarithm of a mel spectrogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsugiki.domain import Floats

RATE = 16_000
FRAMES_A_POSITION = 2


def log_mel(samples: Floats) -> Floats:
    raise NotImplementedError
