"""Text to token ids: the one function that training, serving and export tokenise with."""
# pyright: reportUnknownMemberType=false
# The keyword arguments of tokenizers are untyped.

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from tsugiki.backbones.source import Source, unsupported
from tsugiki.domain import FeatureSpace, Modality
from tsugiki.ports import Prepared

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Padded:
    """Rows made rectangular: `ids` and `mask` are (rows, tokens) int64, both 0 beyond a row's end."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


class TextBackbone:
    """A text encoder's outside. Thread-safe: `prepare` changes nothing and leaves the interpreter lock."""

    def __init__(self, source: Source, weights_sha256: str, precision: str = "fp32") -> None:
        definition = source.tokenizer.read_bytes()
        self._source = source
        self._tokenizer = read_tokenizer(source, definition)
        self._space = FeatureSpace(
            backbone=source.name,
            backbone_sha256=weights_sha256,
            preprocessing=_digest(definition, source),
            pooling=_pooling(source),
            precision=precision,
            dim=source.feature_dim,
            parts=source.parts,
        )

    def at(self, precision: str) -> TextBackbone:
        """The same network as an engine of this precision class runs it: another feature space."""
        other = copy(self)
        other._space = replace(self._space, precision=precision)
        return other

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def modality(self) -> Modality:
        return self._source.modality

    @property
    def space(self) -> FeatureSpace:
        return self._space

    def prepare(self, contents: Sequence[str]) -> list[Prepared]:
        """Token ids with special tokens, unpadded, at most `max_tokens`; an empty text has the special ones only.

        A text becomes NFC first, so that one look has one answer however it was typed.
        """
        texts = [self._source.prefix + unicodedata.normalize("NFC", content) for content in contents]
        encodings = self._tokenizer.encode_batch_fast(texts)
        return [Prepared(np.array(found.ids, dtype=np.int64), bool(found.overflowing)) for found in encodings]


def _pooling(source: Source) -> str:
    joined = "" if source.middle is None else f"+mean of block {source.middle}"
    return f"{source.pooling}{joined}{'+l2' if source.normalise else ''}"


def pad(rows: Sequence[NDArray[np.int64]]) -> Padded:
    """`[[5, 6], [7]] -> ids [[5, 6], [7, 0]], mask [[1, 1], [1, 0]]`; needs at least one row.

    The mask comes from the lengths: a text may spell a padding token, and its row must not shrink by it.
    """
    shape = (len(rows), max(len(row) for row in rows))
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return Padded(ids, mask)


def read_tokenizer(source: Source, definition: bytes) -> Tokenizer:
    """The folder's tokeniser with our limits; what it says itself about padding and truncation is not kept."""
    try:
        tokenizer = Tokenizer.from_buffer(definition)
    except ValueError as error:
        raise unsupported(source.name, f"{source.tokenizer} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=source.max_tokens)
    return tokenizer


def _digest(definition: bytes, source: Source) -> str:
    limits = json.dumps({"max_tokens": source.max_tokens, "prefix": source.prefix, "unicode": "NFC"}, sort_keys=True)
    return hashlib.sha256(definition + b"\0" + limits.encode()).hexdigest()
