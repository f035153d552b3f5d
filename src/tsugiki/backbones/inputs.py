"""A batch as a network reads it: made from prepared rows, whatever they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tsugiki.backbones.signature import ATTENTION_MASK, INPUT_IDS, MEL, PIXELS, WAVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import InputRow


def stack(rows: Sequence[InputRow], length: int = 0) -> Mapping[str, NDArray[Any]]:  # Any: as in InputRow
    """The batch of at least one row, by input name, in the order in which the torch module takes them.

    Padded to the longest, and to `length` at least, but for pictures.

    Texts (tokens,): `[[5, 6], [7]] -> input_ids [[5, 6], [7, 0]], attention_mask [[1, 1], [1, 0]]`; sounds (frames,
    bands) or (samples,) float32 alike, as `mel` or `wave`; pictures (height, width, 3), of one shape, as `pixels`.
    """
    match rows[0].ndim:
        case 1 if rows[0].dtype == np.float32:
            return {WAVE: pad(rows, length), ATTENTION_MASK: mask_of(rows, length)}
        case 1:
            return {INPUT_IDS: pad(rows, length), ATTENTION_MASK: mask_of(rows, length)}
        case 2:
            return {MEL: pad(rows, length), ATTENTION_MASK: mask_of(rows, length)}
        case 3:
            return {PIXELS: np.stack(rows)}
        case dimensions:
            raise AssertionError(f"a row has {dimensions} dimensions; this is a bug")


# For zeros of more than a kilobyte numpy lets go of the interpreter, for an empty array it does not: to have it back
# took a pass up to 1 ms where a thousand texts a second were answered.
def pad(rows: Sequence[InputRow], length: int = 0) -> InputRow:
    """Rows made rectangular, 0 beyond a row's end."""
    first = rows[0]
    padded = np.empty((len(rows), max(length, *map(len, rows)), *first.shape[1:]), first.dtype)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
        padded[i, len(row) :] = 0
    return padded


def mask_of(rows: Sequence[InputRow], length: int = 0) -> NDArray[np.int64]:
    """1 where a row is. From the lengths: a text may spell a padding token, and its row must not shrink by it."""
    mask = np.empty((len(rows), max(length, *map(len, rows))), np.int64)
    for i, row in enumerate(rows):
        mask[i, : len(row)] = 1
        mask[i, len(row) :] = 0
    return mask
