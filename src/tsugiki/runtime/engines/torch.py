"""torch behind the Engine protocol: bfloat16 on a CUDA device."""

# torch's annotations leave what modules return and hooks get unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tsugiki.backbones.graph import features_module
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.source import Source
from tsugiki.domain import EngineName
from tsugiki.errors import ArtifactCorrupt
from tsugiki.ports import Adapters, BankType
from tsugiki.training.network import ENCODER

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, InputRow

PASS_TOKENS = 16_384  # not measured: a device of thousands of lanes is not full with less
DRIVER = Path("/proc/driver/nvidia/version")  # asked before torch is imported, which takes 200 MB and a second
UNREAD = -1  # the generation of a slot that is not on the device yet; that of adapters is none
KEPT_BANKS = 8  # on the device: one a rack, of which there are few, or one of each adapter that a trainer tries


def why_not() -> str | None:
    """None where a CUDA device can serve; else what is missing."""
    if not DRIVER.exists():
        return "there is no NVIDIA driver"
    import torch

    return None if torch.cuda.is_available() else "torch sees no CUDA device"


class TorchEngine:
    """One network on one device, every pass on a stream of its thread: what one pass copies, another computes beside.

    `weights` replace the folder's own, by parameter name. `precision` fp32 is for comparing on a CPU.
    """

    name: EngineName = "torch"
    pass_tokens = PASS_TOKENS
    queues = False  # passes run beside one another

    def __init__(
        self, source: Source, weights: Mapping[str, Floats], *, device: str = "cuda", precision: str = "bf16"
    ) -> None:
        import torch

        self.precision = precision
        self.bank_type: BankType = "bfloat16" if precision == "bf16" else "float32"
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._device = torch.device(device)
        module = features_module(source, "sdpa")
        encoder = module.get_submodule(ENCODER)
        _replace(encoder, weights)
        self._module = module.to(self._device, self._dtype)
        self._mirror = _Mirror(self._device)
        self._here = _Here()
        for name, linear in encoder.named_modules():
            if isinstance(linear, torch.nn.Linear):
                linear.register_forward_hook(partial(_adapt, self._here, name))
            elif isinstance(linear, torch.nn.Conv2d) and linear.kernel_size == (1, 1):
                linear.register_forward_hook(partial(_adapt_places, self._here, name))

    def prepare(self, modules: tuple[str, ...]) -> None:
        """Nothing to compile: the same network runs with and without adapters."""

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        import torch

        batch = stack(rows)
        with torch.inference_mode(), self._stream():
            self._here.adapters = None if adapters is None else self._mirror.read(adapters)
            inputs = [torch.from_numpy(part).to(self._device, non_blocking=True) for part in batch.values()]
            features: Floats = self._module(*inputs).float().cpu().numpy()
        return features

    def _stream(self) -> AbstractContextManager[object]:
        import torch

        if self._device.type != "cuda":
            return nullcontext()
        if self._here.stream is None:
            self._here.stream = torch.cuda.Stream(self._device)
        return torch.cuda.stream(self._here.stream)


class _Here(threading.local):
    """Of this thread's pass. What reads it refers to no engine: one that is let go of leaves its device at once."""

    adapters: _OnDevice | None = None
    stream: torch.cuda.Stream | None = None


def _adapt(
    here: _Here, name: str, linear: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor
) -> torch.Tensor | None:
    delta = _delta(here.adapters, name, inputs[0])
    return None if delta is None else output + delta.reshape(output.shape)


def _adapt_places(
    here: _Here, name: str, convolution: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor
) -> torch.Tensor | None:
    """Of a convolution: its channels come before the places."""
    delta = _delta(here.adapters, name, inputs[0].flatten(2).transpose(1, 2))
    return None if delta is None else output + delta.transpose(1, 2).reshape(output.shape)


def _delta(adapters: _OnDevice | None, name: str, x: torch.Tensor) -> torch.Tensor | None:
    """`x` (..., channels), its rows first, through each row's own matrices: (rows, places, channels).

    None where the pass has no adapters, or none of this module.
    """
    if adapters is None or name not in adapters.pairs:
        return None
    down, up = adapters.pairs[name]
    rows = x.reshape(len(adapters.slots), -1, x.shape[-1])
    return (rows @ down[adapters.slots]) @ up[adapters.slots]


def _replace(encoder: torch.nn.Module, weights: Mapping[str, Floats]) -> None:
    """Raises ArtifactCorrupt for a tensor that the network has not, or has in another shape."""
    import torch

    parameters = dict(encoder.named_parameters())
    with torch.no_grad():
        for name, values in weights.items():
            if name not in parameters or tuple(parameters[name].shape) != values.shape:
                raise ArtifactCorrupt(f"The graft replaces {name} {values.shape}, which the backbone does not have.")
            parameters[name].copy_(torch.from_numpy(values.copy()))


@dataclass(frozen=True, slots=True)
class _OnDevice:
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    slots: torch.Tensor


class _Mirror:
    """Banks on the device. What a pass reads is brought up to date before it; other slots may be in the writing.

    Passes of several threads read one bank, each on a stream of its own, which waits for no other: what one has written
    is on the device before another is told that it is there.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._banks: dict[int, _Bank] = {}

    def read(self, adapters: Adapters) -> _OnDevice:
        import torch

        with self._lock:
            bank = self._banks.get(id(adapters.banks))
            if bank is None or bank.source is not adapters.banks:
                while len(self._banks) >= KEPT_BANKS:
                    del self._banks[next(iter(self._banks))]
                bank = self._banks[id(adapters.banks)] = _empty(adapters, self._device)
            used = np.unique(adapters.slots)
            old = used[bank.generations[used] != adapters.generations[used]]
            if len(old):
                generations = adapters.generations[old]
                at = torch.from_numpy(old)
                for name, pair in adapters.banks.items():
                    for mine, theirs in zip(bank.pairs[name], pair, strict=True):
                        mine[at] = _tensor(theirs[old]).to(self._device)
                if self._device.type == "cuda":
                    torch.cuda.current_stream(self._device).synchronize()
                bank.generations[old] = generations
        return _OnDevice(bank.pairs, torch.from_numpy(adapters.slots).to(self._device))


@dataclass(slots=True)
class _Bank:
    source: Mapping[str, Any]  # Any: as in Adapters
    generations: NDArray[np.int64]
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]


def _empty(adapters: Adapters, device: torch.device) -> _Bank:
    import torch

    def like(bank: NDArray[Any]) -> torch.Tensor:  # Any: as in Adapters
        return torch.zeros(bank.shape, dtype=_tensor(bank[:0]).dtype, device=device)

    pairs = {name: (like(down), like(up)) for name, (down, up) in adapters.banks.items()}
    return _Bank(adapters.banks, np.full_like(adapters.generations, UNREAD), pairs)


def _tensor(values: NDArray[Any]) -> torch.Tensor:  # Any: as in Adapters
    import torch

    if values.dtype == np.uint16:
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)
