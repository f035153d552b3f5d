"""Pictures from files to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class View:
    """What a network sees of a picture: the short side becomes `size / crop`, then the middle square is cut."""

    size: int
    crop: float
    resample: Literal["bicubic", "bilinear"]
