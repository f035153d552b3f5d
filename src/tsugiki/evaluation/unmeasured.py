"""The evaluation of a version that no sample could judge: it says so, and claims nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tsugiki.domain import Json


def unmeasured(labels: Sequence[str], samples: int) -> Json:
    """The members of `evaluate`, null or empty: nothing was held out. `note` says why."""
    return {
        "samples": samples,
        "held_out": 0,
        "note": "not measured: there are no labelled samples to judge by; add some and adapt to learn what it is worth",
        "accuracy": None,
        "macro_f1": None,
        "log_loss": None,
        "ece": None,
        "majority_baseline": None,
        "per_class": [],
        "confusion": {"labels": list(labels), "matrix": []},
        "reliability": [],
        "risk_coverage": [],
        "thresholds": [],
        "holdout": None,
        "slices": {"compared": 0, "worst": None, "data": []},
        "out_of_scope": None,
    }
