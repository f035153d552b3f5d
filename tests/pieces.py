"""Writes models of SentencePiece, well formed or not."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from tsugiki.backbones.sentencepiece import Kind, Piece

ENDS = (Piece("<unk>", 0.0, Kind.UNKNOWN), Piece("<s>", 0.0, Kind.CONTROL), Piece("</s>", 0.0, Kind.CONTROL))
UNIGRAM = {3: 1}


def written(
    pieces: Sequence[Piece],
    trainer: Mapping[int, int] = UNIGRAM,
    normaliser: Mapping[int, int | bytes] | None = None,
) -> bytes:
    """A model whose first pieces are `ENDS`; `trainer` and `normaliser` are fields by number."""
    told = [field(1, text(piece)) for piece in (*ENDS, *pieces)]
    for number, part in ((2, trainer), (3, normaliser or {})):
        told.append(field(number, b"".join(field(key, value) for key, value in part.items())))
    return b"".join(told)


def text(piece: Piece) -> bytes:
    score = varint(2 << 3 | 5) + struct.pack("<f", piece.score)
    return field(1, piece.text.encode()) + score + field(3, int(piece.kind))


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
