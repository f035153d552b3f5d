"""Training: from features and labels to a head. Convex, deterministic under given folds, on one thread or many."""

from tsugiki.training.effort import Effort, estimate_peak_bytes, plan_effort
from tsugiki.training.fit import FittedHead, fit_head

__all__ = ["Effort", "FittedHead", "estimate_peak_bytes", "fit_head", "plan_effort"]
