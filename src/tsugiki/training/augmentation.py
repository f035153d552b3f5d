"""Inputs as they might also have been, where the whole network is trained: it sees nothing twice as it was.

Texts stay as they are. What is varied changes no label of what people photograph and record: side, part and light of a
picture, a few bands and moments of a sound. Where lower blocks stay and what comes out of them is kept, a picture is
seen as it is and as in a mirror, a sound as it is.
"""
# pyright: reportUnknownMemberType=false
# torch's annotations leave some results unknown.

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

LEAST_AREA = 0.5  # of a picture that a cut keeps
WIDEST = 4 / 3  # of a cut's sides, one by the other
LIGHT = 0.2  # brightness, contrast and colour, each times 1 - LIGHT to 1 + LIGHT
GREY = (0.299, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601)
BANDS, MOMENTS = (
    10,
    0.15,
)  # of 80 bands, and of the time, masked at most (SpecAugment, Park et al. 2019, scaled to a clip)


def varied(inputs: Sequence[torch.Tensor], random: torch.Generator) -> list[torch.Tensor]:
    """A batch as `stack` makes it, of the same shapes."""
    first, *others = inputs
    match first.ndim:
        case 4:
            return [_pictures(first, random)]
        case 3:
            return [_sounds(first, random), *others]
        case _:
            return list(inputs)


def mirrored(pixels: torch.Tensor) -> torch.Tensor:
    """(batch, height, width, 3), left for right."""
    return pixels.flip(2)


def _pictures(pixels: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """(batch, height, width, 3) uint8: a part of each, perhaps as in a mirror, in another light."""
    rows = len(pixels)

    def drawn(low: float, high: float) -> torch.Tensor:
        return torch.rand(rows, generator=random) * (high - low) + low

    area, shape = drawn(LEAST_AREA, 1.0).sqrt(), drawn(-math.log(WIDEST) / 2, math.log(WIDEST) / 2).exp()
    width, height = (area * shape).clamp(max=1.0), (area / shape).clamp(max=1.0)
    mirror = torch.where(drawn(0.0, 1.0) < 0.5, -1.0, 1.0)
    zero = torch.zeros(rows)
    across = torch.stack([width * mirror, zero, (1.0 - width) * drawn(-1.0, 1.0)], dim=1)
    down = torch.stack([zero, height, (1.0 - height) * drawn(-1.0, 1.0)], dim=1)
    places = torch.stack([across, down], dim=1).to(pixels.device)
    seen = pixels.permute(0, 3, 1, 2).float()
    grid = torch.nn.functional.affine_grid(places, list(seen.shape), align_corners=False)
    cut = torch.nn.functional.grid_sample(seen, grid, padding_mode="reflection", align_corners=False)
    bright, contrast, colour = (drawn(1.0 - LIGHT, 1.0 + LIGHT).to(pixels.device).view(-1, 1, 1, 1) for _ in range(3))
    cut = cut * bright
    cut = (cut - (middle := cut.mean(dim=(1, 2, 3), keepdim=True))) * contrast + middle
    grey = (cut * torch.tensor(GREY, device=cut.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    lit = (cut - grey) * colour + grey
    return lit.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _sounds(mel: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """(batch, frames, bands): some neighbouring bands and moments of each made as the whole is on the average."""
    rows, frames, bands = mel.shape

    def masked(count: int, most: int) -> torch.Tensor:
        long = torch.randint(0, most + 1, (rows, 1), generator=random)
        begin = (torch.rand(rows, 1, generator=random) * (count - long + 1)).long()
        at = torch.arange(count).view(1, -1)
        return ((at >= begin) & (at < begin + long)).to(mel.device)

    covered = masked(frames, int(MOMENTS * frames)).unsqueeze(2) | masked(bands, min(BANDS, bands)).unsqueeze(1)
    return torch.where(covered, mel.mean(dim=(1, 2), keepdim=True), mel)
