"""Does an export answer as the service does? Measured on real rows, and a miss is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import numpy as np

from tsugiki.domain import Precision
from tsugiki.errors import ParityMissed

if TYPE_CHECKING:
    from tsugiki.domain import Floats

MAX_ABS_DIFF = 1e-4  # fp32: ten times what another batch shape changes, far below what a reader of scores sees
CLEAR_MARGIN = 1e-3  # two labels closer than this are a tie: which one comes first means nothing
# Where the service itself rounds, to bf16: on three tasks, heads from weak to strong, scores differed by at most 0.019,
# and 0.3 % of labels at most, all of them nearer ties than this.
ROUNDED_DIFF = ROUNDED_MARGIN = 0.05
MIN_AGREEMENT = 0.97  # int8: three rows in a hundred may change their label; more is another classifier


@dataclass(frozen=True, slots=True)
class Parity:
    """`max_abs_diff` is over all probabilities, `label_agreement` the share of rows with the same best label."""

    rows: int
    max_abs_diff: float
    label_agreement: float
    reference: str = "service"


def certify(found: Floats, reference: Floats, precision: Precision, served_in: str = "fp32") -> Parity:
    """Compares an export's probabilities with the service's, both (rows, classes) in the same label order.

    `served_in` is the precision class of the service's feature space: one that rounds is met within its rounding.

    Raises ParityMissed with the figures. No rows, other shapes and NaN are misses.
    """
    if found.shape != reference.shape or not found.size:
        raise ParityMissed(f"the export answers {found.shape} probabilities, the service {reference.shape}")
    same = found.argmax(axis=1) == reference.argmax(axis=1)
    parity = Parity(len(found), float(np.abs(found - reference).max()), float(same.mean()))
    match precision:
        case "fp32":
            most, clear = (MAX_ABS_DIFF, CLEAR_MARGIN) if served_in == "fp32" else (ROUNDED_DIFF, ROUNDED_MARGIN)
            ties = _margin(reference) <= clear
            met = parity.max_abs_diff <= most and bool(np.all(same | ties))
            wanted = f"at most {most:.0e} and the same label wherever it leads by {clear:.0e}"
        case "int8":
            met = bool(np.isfinite(found).all()) and parity.label_agreement >= MIN_AGREEMENT
            wanted = f"label agreement of at least {MIN_AGREEMENT}"
        case _:
            assert_never(precision)
    if not met:
        figures = f"max_abs_diff {parity.max_abs_diff:.2e}, label_agreement {parity.label_agreement:.4f}"
        raise ParityMissed(f"{precision} export over {parity.rows} rows: {figures}; wanted: {wanted}")
    return parity


def _margin(probabilities: Floats) -> Floats:
    """How far each row's best label leads the second; infinite where there is one label."""
    if probabilities.shape[1] == 1:
        return np.full(len(probabilities), np.inf, np.float32)
    best = np.partition(probabilities, -2, axis=1)
    return best[:, -1] - best[:, -2]
