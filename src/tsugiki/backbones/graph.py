"""Compiles a backbone folder to one ONNX file; run as a process of its own, because it needs torch.

`python -m tsugiki.backbones.graph DESTINATION < source.json`. Besides the torch engine,
the only module that knows torch and transformers.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false
# Their types leave much unknown.

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from tsugiki.backbones.session import Session
from tsugiki.backbones.signature import ATTENTION_MASK, FEATURES, INPUT_IDS, OPSET
from tsugiki.backbones.source import Source, decode
from tsugiki.backbones.text import pad

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from tsugiki.domain import Floats

Attention = Literal["eager", "sdpa"]

TOLERANCE = 1e-5  # of a feature's length: some ten rounding errors of float32, a hundredth of what moves a label
JOINED = 0.5**0.5  # of two vectors of length 1, so that a feature's is 1 too
UNUSED = "pooler."  # BERT's classification layer; features are pooled from the tokens before it
CHECK_LENGTHS = (2, 3, 7, 12, 31)  # rows of one batch, as unequal as texts are
CHECK_SEED = 0


class Mismatch(Exception):
    """The compiled file does not compute what torch computes, or the folder lacks weights."""


def compile_graph(source: Source, destination: Path) -> None:
    """Writes the graph tokens -> pooled, normalised features (batch, feature_dim) and checks it against torch.

    Raises Mismatch.
    """
    import torch

    torch.set_num_threads(1)
    module = features_module(source)
    example = torch.ones((2, 8), dtype=torch.int64)
    dynamic = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=source.max_tokens)}
    program = torch.onnx.export(
        module,
        (example, example.clone()),
        dynamo=True,
        dynamic_shapes=(dynamic, dynamic),
        external_data=False,
        opset_version=OPSET,
        input_names=[INPUT_IDS, ATTENTION_MASK],
        output_names=[FEATURES],
        verbose=False,
    )
    assert program is not None, "the dynamo exporter returns a program; this is a bug"
    program.save(destination, external_data=False)
    check(module, destination, source.max_tokens)


def features_module(source: Source, attention: Attention = "eager") -> torch.nn.Module:
    """(input_ids, attention_mask), both (batch, tokens) int64 -> features (batch, feature_dim) float32, in eval mode.

    `encoder` is the folder's network. Where the blocks up to `middle` do not run, `lower` is to be set to their part of
    the batch's features, (batch, dim) float32. "eager" attention is for the exporter: sdpa exports with a NaN guard a
    layer, slower and with the same values.
    """
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # what is missing or left over is judged below, and told as an error of ours
    logging.disable_progress_bar()
    encoder, found = AutoModel.from_pretrained(
        source.folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        attn_implementation=attention,
        output_loading_info=True,
    )
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(UNUSED))
    if missing:  # transformers would fill them at random: another feature space at every start
        raise Mismatch(f"{source.weights} lacks {len(missing)} weights, the first {missing[0]}")

    # Counted from above, for in training something else may stand for the lowest blocks.
    above = -1 if source.middle is None else source.middle - encoder.config.num_hidden_layers - 1

    def mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)

    def scaled(pooled: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(pooled, dim=-1) if source.normalise else pooled

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.middle = source.middle
            self.lower: torch.Tensor | None = None

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            found = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=source.middle is not None)
            last = found.last_hidden_state.float()
            pooled = scaled(last[:, 0] if source.pooling == "cls" else mean(last, mask))
            if source.middle is None:
                return pooled
            lower = self.lower
            if lower is None:
                lower = scaled(mean(found.hidden_states[above].float(), mask)) * JOINED
            return torch.cat([pooled * JOINED, lower], dim=-1)

    return Features().eval()


def check(module: torch.nn.Module, graph: Path, max_tokens: int) -> None:
    """Random batches give torch's features, and a row's features do not feel the padding beside it."""
    import torch

    session = Session(graph, threads=1)

    def run(rows: list[NDArray[np.int64]]) -> Floats:
        batch = pad(rows)
        return session.run(FEATURES, {INPUT_IDS: batch.ids, ATTENTION_MASK: batch.mask})

    vocabulary = int(module.get_submodule("encoder").get_input_embeddings().weight.shape[0])
    random = np.random.default_rng(CHECK_SEED)
    rows = [random.integers(2, vocabulary, size=n) for n in (*CHECK_LENGTHS, max_tokens)]
    padded = pad(rows)
    with torch.no_grad():
        expected = module(torch.from_numpy(padded.ids), torch.from_numpy(padded.mask)).numpy()
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    together, alone = run(rows), np.concatenate([run([row]) for row in rows])
    for what, found in (("a batch", together), ("single rows", alone)):
        off = float(np.max(np.abs(found - expected) / length))
        if not off <= TOLERANCE:
            raise Mismatch(f"{what} of the compiled graph differs from torch by {off:.2e}, more than {TOLERANCE:.0e}")


def main() -> None:
    compile_graph(decode(sys.stdin.read()), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
