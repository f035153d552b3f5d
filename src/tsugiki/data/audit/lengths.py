"""Inputs that say too little, or more than is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit.finding import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Ints

SHORT_TOKENS = 1  # a single word piece may be meant ("yes"), or be a slip of the hand: the fits tell which


@dataclass(frozen=True, slots=True)
class Lengths:
    """`tokens` (rows,) without the special ones; `truncated` (rows,): the input was longer than the backbone reads."""

    tokens: Ints
    truncated: NDArray[np.bool_]


def lengths(of: Lengths, missed: NDArray[np.bool_]) -> Iterator[Finding]:
    """`missed` (rows,): fits that had not seen the row got its label wrong."""
    short = (of.tokens == 0) | ((of.tokens <= SHORT_TOKENS) & missed)
    for row in np.flatnonzero(short).tolist():
        yield Finding("input_too_short", row, detail=f"{of.tokens[row]} tokens")
    for row in np.flatnonzero(of.truncated).tolist():
        yield Finding("input_truncated", row, detail=f"only the first {of.tokens[row]} tokens are read")
