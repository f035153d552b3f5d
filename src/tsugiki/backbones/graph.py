"""Compiles a backbone folder to one ONNX file; run as a process of its own, because it needs torch.

`python -m tsugiki.backbones.graph DESTINATION < source.json`.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's types leave much unknown.

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tsugiki.backbones.hearing import Fbank, Wave
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.mel import BINS, HOP, POSITION, SAMPLE_RATE
from tsugiki.backbones.networks.weights import Mismatch
from tsugiki.backbones.session import Session
from tsugiki.backbones.signature import FEATURES, OPSET
from tsugiki.backbones.source import Source, decode

if TYPE_CHECKING:
    import torch

    from tsugiki.backbones.networks import Attention
    from tsugiki.domain import Floats, InputRow

TOLERANCE = 1e-5  # of a feature's length: some ten rounding errors of float32, a hundredth of what moves a label
CHECK_LENGTHS = (2, 3, 7, 12, 31)  # tokens or positions of one batch's rows, as unequal as inputs are
LONG = 99  # positions of raw sound: of the longest, six rows beside one another would take gigabytes in convolutions
CHECK_SEED = 0


def compile_graph(source: Source, destination: Path) -> None:
    """Writes the graph from a batch to its features (batch, feature_dim) and checks it against torch.

    Raises Mismatch.
    """
    import torch

    torch.set_num_threads(1)
    module = features_module(source)
    refuse_norms(module)
    rows = _rows(source, module)
    example = stack(rows[2:4])
    program = torch.onnx.export(
        module,
        tuple(torch.from_numpy(part) for part in example.values()),
        dynamo=True,
        dynamic_shapes=(_dynamic(source),) * len(example),
        external_data=False,
        opset_version=OPSET,
        input_names=list(example),
        output_names=[FEATURES],
        verbose=False,
    )
    assert program is not None, "the dynamo exporter returns a program; this is a bug"
    program.save(destination, external_data=False)
    check(module, destination, rows)


def features_module(source: Source, attention: Attention = "eager") -> torch.nn.Module:
    """The source's network as `networks` says; needs torch. Raises Mismatch."""
    module: torch.nn.Module = import_module(f"tsugiki.backbones.networks.{source.network}").features(source, attention)
    return module


def refuse_norms(module: torch.nn.Module) -> None:
    """The exporter folds a batch norm into the convolution before it and leaves that one's name: an adapter or a
    trained weight put there would be scaled by a norm that it was not trained without. EfficientNet's are folded before
    anything is trained. Raises Mismatch.
    """
    from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]  # of all dimensions

    norms = [name for name, part in module.named_modules() if isinstance(part, _BatchNorm)]
    if norms:
        raise Mismatch(f"{norms[0]} is a batch norm: what is trained beside it could not be served")


def check(module: torch.nn.Module, graph: Path, rows: list[InputRow]) -> None:
    """The rows' features are torch's, and do not feel the padding beside them."""
    import torch

    session = Session(graph, threads=1)

    def run(rows: list[InputRow]) -> Floats:
        return session.run(FEATURES, stack(rows))

    with torch.no_grad():
        expected = module(*(torch.from_numpy(part) for part in stack(rows).values())).numpy()
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    together, alone = run(rows), np.concatenate([run([row]) for row in rows])
    for what, found in (("a batch", together), ("single rows", alone)):
        off = float(np.max(np.abs(found - expected) / length))
        if not off <= TOLERANCE:
            raise Mismatch(f"{what} of the compiled graph differs from torch by {off:.2e}, more than {TOLERANCE:.0e}")


def _rows(source: Source, module: torch.nn.Module) -> list[InputRow]:
    """Random ones of all lengths, the longest last."""
    random = np.random.default_rng(CHECK_SEED)
    match source.modality:
        case "text":
            embeddings: Any = module.get_submodule("encoder")  # Any: transformers' own
            vocabulary = int(embeddings.get_input_embeddings().num_embeddings)
            return [random.integers(2, vocabulary, size=n) for n in (*CHECK_LENGTHS, source.max_tokens)]
        case "image":
            assert source.view is not None, "a picture's source says how it is cut; this is a bug"
            shape = (source.view.size, source.view.size, 3)
            return [random.integers(0, 256, size=shape, dtype=np.uint8) for _ in CHECK_LENGTHS]
        case "audio":
            if isinstance(hearing := source.hearing, Wave):
                sizes = [hearing.samples(n) + n % 3 for n in (*CHECK_LENGTHS, LONG)]
                return [random.normal(size=n).astype(np.float32) for n in sizes]
            if isinstance(hearing, Fbank):
                shape = (hearing.frames, hearing.bins)
                return [random.normal(size=shape).astype(np.float32) for _ in CHECK_LENGTHS]
            lengths = (*CHECK_LENGTHS, _positions(source))
            return [random.normal(size=(n * POSITION // HOP, BINS)).astype(np.float32) for n in lengths]


def _dynamic(source: Source) -> dict[int, Any]:  # Any: torch's dimensions
    """Which axes of an input may change."""
    import torch

    batch = torch.export.Dim("batch")
    match source.modality:
        case "text":
            return {0: batch, 1: torch.export.Dim("tokens", max=source.max_tokens)}
        case "image":
            return {0: batch}
        case "audio":
            if isinstance(hearing := source.hearing, Wave):
                most = int(source.seconds * SAMPLE_RATE)
                return {0: batch, 1: torch.export.Dim("samples", min=hearing.samples(2), max=most)}
            if isinstance(hearing, Fbank):
                return {0: batch}
            return {0: batch, 1: POSITION // HOP * torch.export.Dim("positions", max=_positions(source))}


def _positions(source: Source) -> int:
    """Of the longest sound."""
    return int(source.seconds * SAMPLE_RATE) // POSITION


def main() -> None:
    compile_graph(decode(sys.stdin.read()), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
