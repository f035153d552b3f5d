"""What turns records into figures: percentiles, rates, draws. Needs numpy only."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Traffic = Literal["uniform", "zipf"]
ZIPF = 1.1  # the k-th tenant's share is as k to minus this


def percentile(values: Sequence[float], q: float) -> float:
    """The smallest value that at least `q` per cent of them do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * q // 100) - 1)] if ordered else float("nan")


def paired(values: Sequence[float], to: Sequence[float]) -> float:
    """The median over rounds of one side's ratio to the other's: what slows a whole round leaves it alone."""
    return statistics.median(value / other for value, other in zip(values, to, strict=True))


def draw(traffic: Traffic, tenants: int, size: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Which tenant each of `size` requests is of."""
    if traffic == "uniform":
        return random.integers(0, tenants, size)
    shares = np.arange(1, tenants + 1, dtype=np.float64) ** -ZIPF
    return random.choice(tenants, size, p=shares / shares.sum())


def server_timing(header: str) -> dict[str, float]:
    """`total;dur=1.5, engine;dur=0.9` -> `{"total": 1.5, "engine": 0.9}`, in ms; what has no time is left out."""
    found: dict[str, float] = {}
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "dur":
                found[name] = float(value.strip().strip('"'))
    return found
