"""What training must know of a network: its blocks, its device, and the numbers it is computed in."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false
# torch's annotations leave what modules return unknown, and it tells what a processor can only in private.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsugiki.errors import Unavailable

if TYPE_CHECKING:
    import torch

    from tsugiki.domain import Delta, Floats, Prepared

ENCODER = "encoder"  # the submodule that deltas speak of; see ports.Trainable
STEM = "stem"  # its submodule before the blocks, where it is nothing but that
LOWER = "lower"  # its attribute for the features that blocks below would yield; see features_module
POOLER = "pooler."  # BERT's classification layer, which no feature is made from


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters of the encoder by name, trained at one peak rate."""

    parameters: Mapping[str, torch.nn.Parameter]
    rate: float
    decay: float


@dataclass(frozen=True, slots=True)
class Attached:
    """What a method made of an encoder: all that it trains, and how its trained values become a delta.

    Blocks below `first_block` are not trained. If `first_block` is above 0, nor is what comes before the blocks
    (embeddings or stem).
    `settled` are the values of its hyperparameters that depend on the network.
    """

    groups: tuple[Group, ...]
    first_block: int
    as_delta: Callable[[Mapping[str, Floats]], Delta]
    settled: Mapping[str, int] = field(default_factory=dict[str, int])


def blocks_of(encoder: torch.nn.Module) -> torch.nn.ModuleList:
    """The network's blocks, lowest first: its own list of them, or a transformer's as its configuration tells.

    Raises Unavailable where the network does not tell.
    """
    import torch

    own = getattr(encoder, "blocks", None)
    if isinstance(own, torch.nn.ModuleList):
        return own
    wanted = getattr(getattr(encoder, "config", None), "num_hidden_layers", None)
    for module in encoder.modules():
        # wav2vec's convolutions, before its blocks, may be as many.
        if isinstance(module, torch.nn.ModuleList) and len(module) == wanted and _is_of_blocks(module):
            return module
    raise Unavailable(
        f"{type(encoder).__name__} has no list of {wanted} blocks, so its layers cannot be told apart",
        fix="use method head with this backbone",
        code="backbone_unsupported",
    )


def _is_of_blocks(modules: torch.nn.ModuleList) -> bool:
    import torch

    return any(isinstance(module, torch.nn.Linear) for module in modules.modules())


def width_of(encoder: torch.nn.Module) -> int:
    """Numbers a token, between its blocks: as the network itself says, or a transformer's configuration."""
    own = getattr(encoder, "width", None)
    if isinstance(own, int):
        return own
    config: Any = encoder.config  # Any: transformers' own, of whatever network
    return int(config.hidden_size)


def device() -> torch.device:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_type(where: torch.device) -> torch.dtype:
    """bfloat16 on CUDA and on processors with units for it, else float32.

    On AVX-512 BF16, MiniLM, two threads, it trained 1.1 to 1.25 times as fast; without units torch emulates it, slowly.
    """
    import torch

    if where.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    has_units = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if has_units else torch.float32


def is_picture(rows: Sequence[Prepared]) -> bool:
    """Pictures are never the same twice in training, and their places are no list of tokens."""
    return len(rows) > 0 and rows[0].row.ndim == 3


def above_blocks(encoder: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """What comes after the last block, by name: parameters are named in the order of the network."""
    inside = {id(parameter) for parameter in blocks_of(encoder).parameters()}
    named = list(used_parameters(encoder).items())
    last = max(place for place, (_, parameter) in enumerate(named) if id(parameter) in inside)
    return dict(named[last + 1 :])


def used_parameters(encoder: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """All that features are made from and that learns, by name: tables of sines are fixed."""
    return {
        name: parameter
        for name, parameter in encoder.named_parameters()
        if parameter.requires_grad and not name.startswith(POOLER)
    }


def weight_groups(parameters: Mapping[str, torch.nn.Parameter], rate: float, decay: float) -> tuple[Group, ...]:
    """Matrices decay; biases and the scales of norms, which are vectors, do not (Devlin et al. 2019)."""
    matrices = {name: parameter for name, parameter in parameters.items() if parameter.ndim > 1}
    vectors = {name: parameter for name, parameter in parameters.items() if parameter.ndim <= 1}
    return Group(matrices, rate, decay), Group(vectors, rate, 0.0)
