"""The engines there are, and how each is made over a loaded backbone."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, assert_never, get_args

from tsugiki.domain import EngineName, EngineWish
from tsugiki.runtime.engines import openvino, torch
from tsugiki.runtime.engines.choice import Candidate, Choice, choose
from tsugiki.runtime.engines.onnx import OnnxEngine

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
    if name == "torch":
        return torch.TorchEngine(loaded.source, {} if delta is None else delta.tensors)
    if delta is None:
        return _over_graph(name, loaded, cores)
    from tsugiki.backbones.replaced import write_replaced  # and onnx, which nothing else that serves needs

    with tempfile.TemporaryDirectory(prefix="tsugiki-network-") as folder:
        graph = Path(folder) / "network.onnx"  # read once: the engine keeps what it needs of it
        write_replaced(loaded.graph, graph, delta)
        return _over_graph(name, replace(loaded, graph=graph), cores)


def why_not(name: EngineName) -> str | None:
    """None where the engine can run here; else what is missing."""
    match name:
        case "onnxruntime":
            return None
        case "openvino" | "openvino-int8":
            return openvino.why_not()
        case "torch":
            return torch.why_not()


def precision_of(name: EngineName) -> str:
    """The class of arithmetic that an engine made here computes in."""
    match name:
        case "onnxruntime":
            return OnnxEngine.precision
        case "openvino" | "openvino-int8":
            return openvino.PRECISIONS[name]
        case "torch":
            return "bf16"


def bank_types_of(wanted: EngineWish) -> tuple[BankType, ...]:
    """Of the bank graphs that a service may ask for whose engine is `wanted`, here.

    Where another engine is preferred, onnxruntime still serves what was fitted in fp32. torch reads no graphs.
    """
    openvino_too = wanted in ("auto", *openvino.PRECISIONS) and openvino.why_not() is None
    return (OnnxEngine.bank_type, *((openvino.OpenVinoEngine.bank_type,) if openvino_too else ()))


def choose_engine(wanted: EngineWish, loaded: Loaded, cores: Cores) -> Choice:
    """See `choose`; what "auto" finds is kept beside the backbone's graph."""

    def candidate(name: EngineName) -> Candidate:
        return Candidate(name, lambda: why_not(name), lambda: make(name, loaded, None, cores))

    candidates = [candidate(name) for name in get_args(EngineName)]  # the first, fp32, is the reference
    probe = [prepared.row for prepared in loaded.backbone.probe()]
    return choose(wanted, candidates, probe, loaded.graph.with_suffix(".engine.json"))


def _over_graph(name: EngineName, loaded: Loaded, cores: Cores) -> Engine:
    match name:
        case "onnxruntime":
            return OnnxEngine(loaded, threads=cores.threads)
        case "openvino" | "openvino-int8":
            known = [prepared.row for prepared in loaded.backbone.probe()]
            return openvino.OpenVinoEngine(name, loaded, known, passes=cores.passes, threads=cores.threads)
        case "torch":
            raise AssertionError("torch reads the folder, no graph; this is a bug")
        case _:
            assert_never(name)
