"""How right answers are, told by one number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def accuracy(given: Sequence[str], truth: Sequence[str]) -> float:
    return float(np.mean([one == other for one, other in zip(given, truth, strict=True)]))


def matthews(given: Sequence[str], truth: Sequence[str]) -> float:
    """Matthews' correlation of any number of labels (Gorodkin 2004)."""
    labels = {label: number for number, label in enumerate(sorted({*truth, *given}))}
    table = np.zeros((len(labels), len(labels)))
    np.add.at(table, ([labels[one] for one in truth], [labels[one] for one in given]), 1)
    rows, was, said, right = table.sum(), table.sum(axis=1), table.sum(axis=0), np.trace(table)
    spread = (rows**2 - said @ said) * (rows**2 - was @ was)
    return float((right * rows - was @ said) / spread**0.5) if spread > 0 else 0.0
