"""Shares of held-out rows that were answered right, as every report tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsugiki.evaluation.intervals import wilson

if TYPE_CHECKING:
    from tsugiki.domain import Bools, Ints, Json


def share(hits: int, rows: int) -> Json:
    """With Wilson's interval; 0 without rows."""
    return {"value": hits / max(rows, 1), "ci95": list(wilson(hits, rows))}


def on_holdout(correct: Bools, rows: Ints, frozen: Ints | None) -> Json | None:
    """On the samples that stay the same from version to version, as far as the method held them out.

    `correct` (rows,) are of the held-out `rows`; `frozen` as in `evaluate`.
    """
    if frozen is None:
        return None
    inside = correct[np.isin(rows, frozen)]
    return {"samples": len(frozen), "held_out": len(inside), "accuracy": share(int(inside.sum()), len(inside))}
