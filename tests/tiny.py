"""A tiny real BERT with random weights, for every part that needs a backbone."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# safetensors and tokenizers leave some arguments untyped.

from __future__ import annotations

import json
import string
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tsugiki.backbones import Loaded, load

DIM, LAYERS, HEADS, POSITIONS = 32, 2, 4, 64
WIDE = 64  # as many numbers as products in 8 bits read at least
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "the a i my is was to of in it for please help card money refund pay account bill order late lost new cancel "
    "password login reset change address phone parcel delivery arrive price charge twice wrong broken thanks bad good "
    "great terrible love hate film music weather rain sun today tomorrow open close where when how why what who"
)


def write_tiny(folder: Path, dim: int = DIM) -> None:
    """A Hugging Face folder: BERT, hidden `dim`, 2 layers, about 2,000 tokens, at most 64 of them a text."""
    vocabulary = _vocabulary()
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": dim,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * dim,
        "max_position_embeddings": POSITIONS,
        "vocab_size": len(vocabulary),
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    save_file(_weights(len(vocabulary), dim), folder / "model.safetensors", metadata={"format": "pt"})


def tiny_backbone(folder: Path, graphs: Path) -> Loaded:
    """Written to `folder` and compiled into `graphs`."""
    folder.mkdir(parents=True)
    write_tiny(folder)
    return load("tiny", {"tiny": folder}, graphs)


def _vocabulary() -> list[str]:
    ranges = ((0x21, 0x7F), (0xA1, 0x180), (0x3B1, 0x3CA), (0x430, 0x450), (0x3041, 0x3097), (0x30A1, 0x30FB))
    characters = [chr(code) for first, end in ranges for code in range(first, end)]
    pairs = [a + b for a in string.ascii_lowercase for b in "aeioustrn"]
    pieces = ["##" + piece for piece in (*characters, *pairs)]
    return list(dict.fromkeys([*SPECIAL, *WORDS.split(), *characters, *pieces, *"😀🎉日本語"]))


def _tokenizer(vocabulary: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary.index(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _weights(tokens: int, dim: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)

    def normal(*shape: int, scale: float) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    # Word vectors far larger than positions: texts of different words then lie far apart, as in a trained network.
    weights = {
        "embeddings.word_embeddings.weight": normal(tokens, dim, scale=1.0),
        "embeddings.position_embeddings.weight": normal(POSITIONS, dim, scale=0.1),
        "embeddings.token_type_embeddings.weight": normal(2, dim, scale=0.1),
    }
    for i in range(LAYERS):
        dense = {
            "attention.self.query": (dim, dim),
            "attention.self.key": (dim, dim),
            "attention.self.value": (dim, dim),
            "attention.output.dense": (dim, dim),
            "intermediate.dense": (2 * dim, dim),
            "output.dense": (dim, 2 * dim),
        }
        for name, shape in dense.items():
            weights[f"encoder.layer.{i}.{name}.weight"] = normal(*shape, scale=0.1)
            weights[f"encoder.layer.{i}.{name}.bias"] = normal(shape[0], scale=0.1)
    norms = [f"encoder.layer.{i}.{part}" for i in range(LAYERS) for part in ("attention.output", "output")]
    for norm in ("embeddings", *norms):
        weights[f"{norm}.LayerNorm.weight"] = np.ones(dim, np.float32)
        weights[f"{norm}.LayerNorm.bias"] = np.zeros(dim, np.float32)
    return weights
