"""The engines there are, and how each is made over a loaded backbone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tsugiki.backbones.hearing import Wave
from tsugiki.domain import EngineName, EngineWish
from tsugiki.runtime.engines import openvino, torch
from tsugiki.runtime.engines.choice import Candidate, Choice, choose
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.engines.processor import surroundings

if TYPE_CHECKING:
    from tsugiki.backbones.loaded import Loaded
    from tsugiki.domain import WeightsDelta
    from tsugiki.ports import BankType, Engine


@dataclass(frozen=True, slots=True)
class Cores:
    """`passes` at a time, each on `threads` threads."""

    passes: int
    threads: int


def make(name: EngineName, loaded: Loaded, delta: WeightsDelta | None, cores: Cores) -> Engine:
    """Blocks for a second or more. Raises ArtifactCorrupt where the delta is not the backbone's."""
    return ENGINES[name].make(loaded, delta, cores)


def why_not(name: EngineName) -> str | None:
    """None where the engine can run here; else what is missing."""
    return ENGINES[name].why_not()


def bank_types_of(wanted: EngineWish) -> tuple[BankType, ...]:
    """Of the bank graphs that a service may ask for whose engine is `wanted`, here.

    Where another engine is preferred, onnxruntime still serves what was fitted in fp32. torch reads no graphs.
    """
    openvino_too = wanted in ("auto", *openvino.PRECISIONS) and openvino.why_not() is None
    return (OnnxEngine.bank_type, *((openvino.OpenVinoEngine.bank_type,) if openvino_too else ()))


def choose_engine(wanted: EngineWish, loaded: Loaded, cores: Cores) -> Choice:
    """See `choose`; what "auto" finds is kept beside the backbone's graph."""

    def candidate(name: EngineName) -> Candidate:
        return Candidate(name, lambda: why_not(name), lambda: make(name, loaded, None, cores), ENGINES[name].no_gain)

    candidates = [candidate(name) for name in ENGINES]
    probe = [prepared.row for prepared in loaded.backbone.probe()]
    return choose(wanted, candidates, probe, loaded.graph.with_suffix(".engine.json"), surroundings())


Make: TypeAlias = "Callable[[Loaded, WeightsDelta | None, Cores], Engine]"


@dataclass(frozen=True, slots=True)
class _Library:
    """As `why_not` and `make`, and a candidate's `no_gain`."""

    why_not: Callable[[], str | None]
    make: Make
    no_gain: Callable[[], str | None] = lambda: None


def _over_graph(over: Callable[[Loaded, Cores, bool], Engine]) -> Make:
    """By an engine that reads graphs: of replaced weights one is written for it, which it reads once.

    `over` is told whether it may take more memory for the backbone than one copy: a version's own network may not.
    """

    def make(loaded: Loaded, delta: WeightsDelta | None, cores: Cores) -> Engine:
        if delta is None:
            return over(loaded, cores, True)
        from tsugiki.backbones.replaced import write_replaced  # and onnx, which most of what serves does without

        with tempfile.TemporaryDirectory(prefix="tsugiki-network-") as folder:
            graph = Path(folder) / "network.onnx"
            write_replaced(loaded.graph, graph, delta)
            return over(replace(loaded, graph=graph), cores, False)

    return make


def _onnx(loaded: Loaded, cores: Cores, _: bool) -> Engine:
    return OnnxEngine(loaded, threads=cores.threads)


def _openvino(name: openvino.OpenVino, loaded: Loaded, cores: Cores, roomy: bool) -> Engine:
    known = [prepared.row for prepared in loaded.backbone.probe()]
    source = loaded.source
    roomy = roomy and not isinstance(source.hearing, Wave)  # raw sounds are hardly ever of one length
    return openvino.OpenVinoEngine(name, loaded, source, known, passes=cores.passes, threads=cores.threads, roomy=roomy)


def _torch(loaded: Loaded, delta: WeightsDelta | None, cores: Cores) -> Engine:
    return torch.TorchEngine(loaded.source, {} if delta is None else delta.tensors)


# The first, fp32, is the reference; those that round more come later.
ENGINES: Mapping[EngineName, _Library] = {
    "onnxruntime": _Library(lambda: None, _over_graph(_onnx)),
    "openvino": _Library(openvino.why_not, _over_graph(partial(_openvino, "openvino"))),
    "openvino-int8": _Library(
        openvino.why_not, _over_graph(partial(_openvino, "openvino-int8")), openvino.no_gain_in_eight_bits
    ),
    "torch": _Library(torch.why_not, _torch),
}
