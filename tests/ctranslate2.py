"""Writes files of CTranslate2's layout, well formed or not."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tsugiki.backbones.networks.ctranslate2 import ITEM_TYPES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def written(
    variables: Mapping[str, NDArray[np.generic]],
    *,
    version: int = 6,
    spec: str = "WhisperSpec",
    extra: Sequence[bytes] = (),
) -> bytes:
    """A file without aliases; `extra` are variables as bytes, behind the proper ones."""
    parts = [variable(key, value) for key, value in variables.items()] + list(extra)
    return struct.pack("<I", version) + name(spec) + struct.pack("<II", 3, len(parts)) + b"".join(parts)


def variable(key: str, value: NDArray[np.generic], *, says: int | None = None) -> bytes:
    """`says` is the number of bytes that is told, if it is not the true one."""
    item = [*ITEM_TYPES].index(value.dtype.str if value.dtype.itemsize > 1 else "i1")
    shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
    return name(key) + shape + struct.pack("<BI", item, value.nbytes if says is None else says) + value.tobytes()


def name(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
