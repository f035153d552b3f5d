"""Confident learning by cleanlab: the one place that knows it. Source: Northcutt et al. 2021, arXiv 1911.00068."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints


MODULE = "cleanlab.experimental.label_issues_batched"


def loaded() -> bool:
    return MODULE in sys.modules


def load() -> None:
    """Import it now: some 1.5 s of the interpreter lock, better spent at the start than while somebody waits for it."""
    import_module(MODULE)


def label_issues(targets: Ints, probabilities: Floats) -> Ints:
    """Rows whose label is probably wrong, the surest first, by probabilities (rows, classes) held out.

    How many is estimated from how often each label's rows are confidently of another; which, by the probability of
    the given label. Of cleanlab's ways this one found most flips at the highest precision on hwu64 and clinc150.
    In batches, so that it needs no copy of the probabilities.
    """
    # Deferred, for it brings scikit-learn and pandas: 126 MiB that only who audits shall pay.
    from cleanlab.experimental.label_issues_batched import (
        find_label_issues_batched,  # pyright: ignore[reportUnknownVariableType]
    )

    found = find_label_issues_batched(targets, probabilities, n_jobs=1, verbose=False)
    return np.asarray(found, np.int64)
