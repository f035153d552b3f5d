"""Where to look for the neighbours of many rows: rows go to cells of like ones, and a cell looks at those around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

ROWS_PER_CELL = 128  # some hundred cells at 10,000 rows: finding a cell costs less than searching in it
# Rows looked at a row. In the whole of clinc150 and hwu64 it finds every pair above a cosine of 0.97, 0.999 of those
# above 0.9, and the nearest row of 98 % of all.
CANDIDATES = 2_000
ROUNDS = 3  # of k-means: the cells need to be of like rows, not the best ones
ASSIGN_ROWS = 4_096  # rows compared with all centres at once
SEED = 0  # of the first centres; fixed, for an audit of the same rows must find the same


class Cell(NamedTuple):
    """`rows` look for their neighbours among `candidates`, which hold them too."""

    rows: Ints
    candidates: Ints


def cells_of(rows: Floats) -> Iterator[Cell]:
    """`rows` (n, d) of length 1 or 0. Each row is in one cell; no cell is larger than its candidates' limit."""
    centres = _centres(rows)
    home = _nearest(rows, centres)
    order: Ints = np.argsort(home, kind="stable")
    starts: list[int] = np.searchsorted(home[order], np.arange(len(centres) + 1)).tolist()
    members: list[Ints] = [order[starts[cell] : starts[cell + 1]] for cell in range(len(centres))]
    likeness = centres @ centres.T
    for cell, mine in enumerate(members):
        around: list[int] = np.argsort(-likeness[cell], kind="stable").tolist()
        # A cell of very many rows, as of one text sent again and again, looks within parts of itself only.
        for start in range(0, len(mine), CANDIDATES):
            part = mine[start : start + CANDIDATES]
            yield Cell(part, _with_others(part, [members[other] for other in around if other != cell]))


def _with_others(part: Ints, around: Iterable[Ints]) -> Ints:
    """The part and the nearest cells' rows, up to the limit."""
    taken, size = [part], len(part)
    for rows in around:
        if size >= CANDIDATES:
            break
        taken.append(rows[: CANDIDATES - size])
        size += len(taken[-1])
    return np.concatenate(taken)


def _centres(rows: Floats) -> Floats:
    count = max(1, len(rows) // ROWS_PER_CELL)
    centres = rows[np.random.default_rng(SEED).choice(len(rows), count, replace=False)]
    for _ in range(ROUNDS):
        home = _nearest(rows, centres)
        order = np.argsort(home, kind="stable")
        filled, first = np.unique(home[order], return_index=True)
        sums = np.add.reduceat(rows[order], first, axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = centres.copy()
        centres[filled] = np.where(lengths > 0, sums / np.maximum(lengths, np.float32(1e-12)), centres[filled])
    return centres


def _nearest(rows: Floats, centres: Floats) -> Ints:
    parts = [
        (rows[start : start + ASSIGN_ROWS] @ centres.T).argmax(axis=1) for start in range(0, len(rows), ASSIGN_ROWS)
    ]
    return np.concatenate(parts)
