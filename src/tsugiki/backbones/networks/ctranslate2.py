"""Reads the weights of a CTranslate2 file: https://github.com/OpenNMT/CTranslate2, `model_spec.py` of its converters.

Little-endian: version uint32, name, revision uint32, count uint32, then of each variable its name, rank uint8, as many
sizes uint32, item type uint8, bytes uint32 and the values; aliases follow. A name is its length uint16 with the zero at
its end. No item is read before its size is known to be in the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Variables = Mapping[str, "NDArray[np.generic]"]

VERSION = 6  # of the layout: the one that was tried
ITEM_TYPES = ("<f4", "i1", "<i2", "<i4", "<f2")
MOST_VARIABLES = 10_000  # the largest Whisper has some 1,200
MOST_RANK = 4


class Malformed(ValueError):
    """The file is not of this layout, or is cut short."""


def read_variables(weights: Path, spec: str, prefix: str) -> Variables:
    """The variables of a model of the kind `spec` whose names begin with `prefix`, which is cut off; no other is read.

    `"encoder/conv1/bias"` is `"conv1/bias"` for the prefix `"encoder/"`. Raises Malformed.
    """
    with weights.open("rb") as file:
        reader = _Reader(file, weights.stat().st_size)
        version, found, _ = reader.number("I"), reader.name(), reader.number("I")
        if (version, found) != (VERSION, spec):
            raise Malformed(f"layout {version} of {found!r}, expected layout {VERSION} of {spec!r}")
        count = reader.number("I")
        if count > MOST_VARIABLES:
            raise Malformed(f"it says to hold {count:,} variables")
        variables: dict[str, NDArray[np.generic]] = {}
        for _ in range(count):
            name = reader.name()
            value = reader.variable(name, wanted=name.startswith(prefix))
            if value is not None:
                variables[name.removeprefix(prefix)] = value
    return variables


class _Reader:
    """Items one after the other, each within the file's `size` bytes."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def number(self, form: str) -> int:
        """One unsigned integer, `form` as `struct` calls it."""
        [value] = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))
        return int(value)

    def name(self) -> str:
        found = self._take(self.number("H"))
        try:
            return found.removesuffix(b"\0").decode()
        except UnicodeDecodeError as error:
            raise Malformed("a name in it is no text") from error

    def variable(self, name: str, *, wanted: bool) -> NDArray[np.generic] | None:
        rank = self.number("B")
        if rank > MOST_RANK:
            raise Malformed(f"{name} has {rank} dimensions")
        shape = tuple(self.number("I") for _ in range(rank))
        item, size = self.number("B"), self.number("I")
        if item >= len(ITEM_TYPES):
            raise Malformed(f"{name} has the unknown item type {item}")
        kind = np.dtype(ITEM_TYPES[item])
        if not size or math.prod(shape) * kind.itemsize != size:
            raise Malformed(f"{name} has {size:,} bytes for the shape {shape} of {kind}")
        if not wanted:
            self._spend(size)
            self._file.seek(size, 1)
            return None
        return np.frombuffer(self._take(size), kind).reshape(shape)

    def _take(self, size: int) -> bytes:
        self._spend(size)
        found = self._file.read(size)
        if len(found) != size:
            raise Malformed("it became shorter while it was read")
        return found

    def _spend(self, size: int) -> None:
        if size > self._left:
            raise Malformed(f"it ends {size - self._left:,} bytes too soon")
        self._left -= size
