"""A sentence encoder of n-grams: convolutions over words two, three and five wide, then four layers over their sum.

Yang et al. 2019, "Multilingual Universal Sentence Encoder for Semantic Retrieval", https://arxiv.org/abs/1907.04307;
the layers are a deep averaging network, Iyyer et al. 2015. Read from the arrays of an npz file, whose table of words is
of 8 bits.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import torch
from torch.nn.functional import embedding, pad, relu

from tsugiki.backbones.networks.pooling import JOINED, scaled
from tsugiki.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.backbones.networks import Attention
    from tsugiki.backbones.source import Source
    from tsugiki.domain import Floats

Arrays = Mapping[str, "NDArray[np.generic]"]  # perhaps of a file, read when asked for

GRAMS = {2: 0, 3: 1, 5: 2}  # words wide -> of these before the one that it is about
# Layers over the sum -> the file's
DENSE = {"first": "d0", "second": "d1", "third": "d2", "fourth": "d3", "past_two": "p1", "past_four": "p3"}
# USE-multilingual, heads by our solver, accuracy in % (Matthews x 100) on test rows; the layers' yield alone, the sum
# beside it, MiniLM:
#   amazon_cf_ja, all 5,600                      91.2 (38)   92.4 (49)   90.6 (28)
#   xsid_ja, all 149                             92.6        91.5        85.1, of 188 rows: 1.1 are two
#     60 of them, three draws, and 100           87.0        88.2        not measured
#   banking77, 5 a label, 1,000 of the test      74.3        74.5        not measured
# With 0.3 or 0.5 of the sum's weight xsid_ja and banking77 had up to 1.6 less than with all of it.
LOWER_BLOCK = 1  # the only one that has another above it


def features(source: Source, attention: Attention) -> torch.nn.Module:
    """(input_ids, attention_mask), both (batch, tokens) int64 -> features (batch, feature_dim) float32, of length 1.

    Raises Unavailable as `read_encoder` does.
    """
    return SentenceFeatures(read_encoder(source.weights), source.middle).eval()


class SentenceFeatures(torch.nn.Module):
    """Of the layers over the sum; with `middle` also the sum itself."""

    def __init__(self, encoder: SentenceEncoder, middle: int | None = None) -> None:
        super().__init__()
        if middle not in (None, LOWER_BLOCK):
            raise ValueError(f"block {middle} is not between two")
        self.encoder = encoder
        self.middle = middle
        self.lower: torch.Tensor | None = None

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        words, sentence = self.encoder(ids, mask)
        above = scaled(sentence.float())
        if self.middle is None:
            return above
        lower = self.lower
        if lower is None:
            lower = scaled(summed(words, mask)) * JOINED
        return torch.cat([above * JOINED, lower], dim=-1)


class SentenceEncoder(torch.nn.Module):
    """(ids, mask) -> of its first block (batch, tokens, dim), of its second (batch, dim)."""

    def __init__(self, words: Words, wide: int, inner: int, epsilon: float) -> None:
        super().__init__()
        self.words = words
        self.width = words.embedding_dim
        grams = Grams(self.width, wide, epsilon)
        self.blocks = torch.nn.ModuleList([grams, Average(self.width, inner)])

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        grams, average = self.blocks
        hidden = grams(self.words(ids), mask)
        return hidden, average(hidden, mask)

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.words


class Words(torch.nn.Module):
    """`weight` (words, dim) uint8 stays so: 65 MB of it, which no method trains.

    Words are dealt in turn to ranges of numbers, each of a `scale` and a `lowest` (ranges, 1). A whole number of steps
    is taken off first: it is exact in bfloat16 too, where the lowest number and what is added to it would take the last
    bits from each other. Japanese reviews in bfloat16 had a cosine of 0.995 at least to float32 without that.
    """

    weight: torch.Tensor
    scale: torch.Tensor
    steps: torch.Tensor
    rest: torch.Tensor

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, lowest: torch.Tensor) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = weight.shape
        steps = (-lowest / scale).round()
        for name, values in (("weight", weight), ("scale", scale), ("steps", steps), ("rest", lowest + steps * scale)):
            self.register_buffer(name, values)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        kind = ids % len(self.scale)
        above = embedding(ids, self.weight).to(self.scale.dtype) - embedding(kind, self.steps)
        return above * embedding(kind, self.scale) + embedding(kind, self.rest)


class Grams(torch.nn.Module):
    """(batch, tokens, dim), with what a word means beside its neighbours."""

    def __init__(self, dim: int, wide: int, epsilon: float) -> None:
        super().__init__()
        self.project = torch.nn.Linear(dim, wide * len(GRAMS))
        self.norm = torch.nn.LayerNorm(wide * len(GRAMS), eps=epsilon)
        self.grams = torch.nn.ModuleList([Gram(width, before, wide) for width, before in GRAMS.items()])
        self.joined_norm = torch.nn.LayerNorm(dim + wide * len(GRAMS), eps=epsilon)
        self.out = torch.nn.Linear(dim + wide * len(GRAMS), dim)

    def forward(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        here = mask.unsqueeze(-1).to(words.dtype)
        parts = self.norm(self.project(words)).chunk(len(self.grams), dim=-1)
        seen = [gram(part, here) for gram, part in zip(self.grams, parts, strict=True)]
        return self.out(self.joined_norm(torch.cat([words, *seen], dim=-1)))


class Gram(torch.nn.Module):
    """Two convolutions, each added to what went into it; beyond a text's ends are zeros."""

    def __init__(self, width: int, before: int, dim: int) -> None:
        super().__init__()
        self.width, self.before = width, before
        self.first = torch.nn.Linear(width * dim, dim)
        self.second = torch.nn.Linear(width * dim, dim)

    def forward(self, given: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
        hidden = relu(self.first(self._windows(given * here))) + given
        return relu(self.second(self._windows(hidden * here))) + hidden

    def _windows(self, given: torch.Tensor) -> torch.Tensor:
        """Each place with its neighbours, (batch, tokens, width x dim)."""
        tokens = given.shape[1]
        wider = pad(given, (0, 0, self.before, self.width - 1 - self.before))
        return torch.cat([wider[:, place : place + tokens] for place in range(self.width)], dim=-1)


class Average(torch.nn.Module):
    """(batch, tokens, dim) -> (batch, dim): their sum through layers which are skipped by twos."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()

        def dense(inside: int, outside: int) -> torch.nn.Linear:
            return torch.nn.Linear(inside, outside, bias=False)

        self.first, self.second = dense(dim, inner), dense(inner, inner)
        self.third, self.fourth = dense(inner, dim), dense(dim, dim)
        self.past_two, self.past_four = dense(dim, inner), dense(inner, dim)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        # As texts of one token: the exporter makes of a matrix and a linear module what no adapter finds.
        total = summed(hidden, mask).to(hidden.dtype).unsqueeze(1)
        lower = relu(self.past_two(total) + self.second(relu(self.first(total))))
        return torch.tanh(self.past_four(lower) + self.fourth(relu(self.third(lower)))).squeeze(1)


def summed(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(batch, tokens, dim) -> float32 (batch, dim): over the root of how many they are."""
    here = mask.unsqueeze(-1).float()
    return (hidden.float() * here).sum(1) / here.sum(1).clamp(min=1.0).sqrt()


def read_encoder(weights: Path) -> SentenceEncoder:
    """The encoder in eval mode, every number of it from the file. Raises Unavailable (`backbone_unsupported`)."""
    try:
        with weights.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return _encoder(file).eval()
    # A TypeError is of one array that is no archive, a RuntimeError is how torch tells of wrong shapes.
    except (ValueError, KeyError, EOFError, TypeError, RuntimeError, BadZipFile, zlib.error) as error:
        detail = f"{weights} holds no sentence encoder of n-grams: {error}"
        raise Unavailable(detail, code="backbone_unsupported") from error


def _encoder(arrays: Arrays) -> SentenceEncoder:
    words = _words(arrays)
    inner, outer = _matrix(arrays, "d1").shape[0], _matrix(arrays, "proj2").shape[1]
    with torch.device("meta"):  # so that no memory is taken, nor filled at random, before shapes are compared
        encoder = SentenceEncoder(words, outer, inner, float(_floats(arrays, "eps", 0)))
    encoder.load_state_dict(_state(arrays) | words.state_dict(prefix="words."), strict=True, assign=True)
    return encoder


def _words(arrays: Arrays) -> Words:
    """A part of the table for each range, dealt back into one."""
    scale, lowest = (_floats(arrays, name, 1) for name in ("scale", "lo"))
    parts = [arrays[f"q{place}"] for place in range(1, len(scale) + 1)]
    if not parts or len(lowest) != len(parts):
        raise ValueError(f"there are {len(parts)} parts of the table, and {len(lowest)} lowest numbers")
    shape = parts[0].shape
    if any(part.shape != shape or part.dtype != np.uint8 for part in parts) or len(shape) != 2:
        raise ValueError("the table is not of 8 bits in parts of one size")
    table = np.empty((len(parts) * shape[0], shape[1]), np.uint8)
    for place, part in enumerate(parts):
        table[place :: len(parts)] = part
    return Words(torch.from_numpy(table), torch.from_numpy(scale[:, None]), torch.from_numpy(lowest[:, None]))


def _state(arrays: Arrays) -> dict[str, torch.Tensor]:
    """The blocks' parameters by our names."""

    def matrix(*names: str) -> torch.Tensor:
        """Side by side in the file, above each other in torch."""
        return torch.from_numpy(np.concatenate([_matrix(arrays, name).T for name in names]))

    def vector(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([_floats(arrays, name, 1) for name in names]))

    state: dict[str, torch.Tensor] = {}
    for ours, weight, bias in (("project", "proj{}", "proj_b{}"), ("norm", "ln_g{}", "ln_b{}")):
        read = vector if ours == "norm" else matrix
        state[f"blocks.0.{ours}.weight"] = read(*(weight.format(width) for width in GRAMS))
        state[f"blocks.0.{ours}.bias"] = vector(*(bias.format(width) for width in GRAMS))
    state |= {"blocks.0.joined_norm.weight": vector("ln_g"), "blocks.0.joined_norm.bias": vector("ln_b")}
    state |= {"blocks.0.out.weight": matrix("cnn_W"), "blocks.0.out.bias": vector("cnn_b")}
    for place, width in enumerate(GRAMS):
        for number, layer in enumerate(("first", "second"), 1):
            ours = f"blocks.0.grams.{place}.{layer}"
            state |= {f"{ours}.weight": matrix(f"w{number}_{width}"), f"{ours}.bias": vector(f"b{number}_{width}")}
    return state | {f"blocks.1.{ours}.weight": matrix(theirs) for ours, theirs in DENSE.items()}


def _matrix(arrays: Arrays, name: str) -> Floats:
    return _floats(arrays, name, 2)


def _floats(arrays: Arrays, name: str, rank: int) -> Floats:
    found = arrays[name]
    if found.ndim != rank or not np.issubdtype(found.dtype, np.floating):
        raise ValueError(f"{name} is not of floating-point numbers in {rank} dimensions")
    return found.astype(np.float32)
