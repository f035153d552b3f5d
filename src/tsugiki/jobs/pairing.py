"""Which samples two versions may be compared on: those that both answered without having seen them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Fitted, Ints, Snapshot


@dataclass(frozen=True, slots=True)
class Pairs:
    """Who was right on the samples both versions held out, (common,) each; `targets` are today's labels."""

    candidate: np.ndarray[tuple[int], np.dtype[np.bool_]]
    live: np.ndarray[tuple[int], np.dtype[np.bool_]]
    targets: Ints


def common(
    answers: Mapping[str, int], live_labels: Sequence[str], snapshot: Snapshot, targets: Ints, fitted: Fitted
) -> Pairs:
    """`answers` are the live version's held-out guesses by sample id, as indices of `live_labels`."""
    rows: list[tuple[int, int]] = [
        (place, int(row)) for place, row in enumerate(fitted.held_out.rows) if snapshot.sample_ids[row] in answers
    ]
    held = np.array([place for place, _ in rows], np.int64)
    truth = targets[fitted.held_out.rows[held]]
    guesses = fitted.held_out.probabilities[held].argmax(axis=1)
    live: list[bool] = [
        live_labels[answers[snapshot.sample_ids[row]]] == snapshot.labels[targets[row]] for _, row in rows
    ]
    return Pairs(guesses == truth, np.array(live, np.bool_), truth)
