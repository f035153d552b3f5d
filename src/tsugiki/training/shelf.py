"""What a network reads of each sample, for a training: in memory up to a bound, the rest in a file without a name."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Prepared

HELD_BYTES = 256 << 20  # 1,700 pictures of 224 px, or 16 minutes of sound as Whisper hears it: of most projects all


def shelve(rows: Iterable[Prepared], held_bytes: int = HELD_BYTES) -> list[Prepared]:
    """The same rows in order; those beyond the bound can be read, not written.

    Their file is where temporary ones go, and ends with the last of them: the kernel keeps of it what there is room
    for. Raises OSError where the disk is full.
    """
    held: list[Prepared] = []
    rest = iter(rows)
    for row in rest:
        held_bytes -= row.row.nbytes
        held.append(row)
        if held_bytes < 0:
            break
    return [*held, *_filed(rest)]


def _filed(rows: Iterable[Prepared]) -> Sequence[Prepared]:
    empty: list[Prepared] = []  # rows without their numbers, which are in the file
    with tempfile.TemporaryFile() as file:
        for row in rows:
            file.write(np.ascontiguousarray(row.row).data)
            empty.append(replace(row, row=np.broadcast_to(row.row.dtype.type(0), row.row.shape)))
        if not empty:
            return ()
        file.flush()
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found: list[Prepared] = []
    place = 0
    for one in empty:
        numbers = np.frombuffer(content, one.row.dtype, one.row.size, place).reshape(one.row.shape)
        found.append(replace(one, row=numbers))
        place += numbers.nbytes
    return found
