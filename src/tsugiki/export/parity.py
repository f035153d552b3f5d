"""Does an export answer as the service does? Measured on real rows, and a miss is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np

from tsugiki.domain import Precision
from tsugiki.errors import ParityMissed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats

MAX_ABS_DIFF = 1e-4  # fp32: ten times what another batch shape changes, far below what a reader of scores sees
CLEAR_MARGIN = 1e-3  # two labels closer than this are a tie: which one comes first means nothing
# Where the service itself rounds. To bf16: on three tasks, heads from weak to strong, scores differed by at most 0.019,
# and 0.3 % of labels at most, all of them nearer ties than this. To 8 bits: on three, by at most 0.038, and 1.8 % of
# labels at most (sst5, whose labels are near), all of them nearer ties than 0.042.
ROUNDED: Mapping[str, float] = {"bf16": 0.05, "int8": 0.1}
MIN_AGREEMENT = 0.97  # int8: three rows in a hundred may change their label; more is another classifier

Over = Literal["samples", "labels"]


@dataclass(frozen=True, slots=True)
class Parity:
    """`max_abs_diff` is over probabilities and margins, `label_agreement` the share of rows with the same answer.

    `over` says what the rows are: samples and their beginnings, or, where there are none, what the labels are called.
    Margins are in the units of `certify`.
    """

    rows: int
    max_abs_diff: float
    label_agreement: float
    reference: str = "service"
    over: Over = "samples"


def certify(
    found: Floats,
    reference: Floats,
    precision: Precision,
    served_in: str = "fp32",
    *,
    classes: int | None = None,
    several: bool = False,
    scale: float = 1.0,
) -> Parity:
    """Compares an export's probabilities with the service's, both (rows, classes) in the same label order.

    A column beyond `classes` (None: there is none) holds the margins to the head's scope: below 0 no label is answered.
    Where rows may have `several` labels a column for each of them comes before it, and below 0 it is not answered.
    `served_in` is the precision class of the service's feature space: one that rounds is met within its rounding.
    How near a row is to the scope's means is a squared length, as features are long: it is compared in units of `scale`
    where that is more than 1.

    Raises ParityMissed with the figures. No rows, other shapes and NaN are misses.
    """
    if found.shape != reference.shape or not found.size:
        raise ParityMissed(f"the export answers {found.shape} probabilities, the service {reference.shape}")
    columns = reference.shape[1] if classes is None else classes
    units = np.ones(reference.shape[1], np.float32)
    units[(2 if several else 1) * columns :] = max(1.0, scale)
    found, reference = found / units, reference / units
    same = (_answers(found, columns, several) == _answers(reference, columns, several)).all(axis=1)
    parity = Parity(len(found), float(np.abs(found - reference).max()), float(same.mean()))
    match precision:
        case "fp32":
            most, clear = MAX_ABS_DIFF, CLEAR_MARGIN
            if served_in != "fp32":
                most = clear = ROUNDED[served_in]
            ties = _lead(reference, columns, several) <= clear
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


def _answers(given: Floats, classes: int, several: bool) -> NDArray[np.int64]:
    """What each row is answered, (rows, 1): its best label, -1 out of scope; or which labels, (rows, classes)."""
    if several:
        outside = (given[:, 2 * classes :] < 0.0).any(axis=1, keepdims=True)
        return np.where(outside, -1, given[:, classes : 2 * classes] >= 0.0).astype(np.int64)
    return np.where((given[:, classes:] < 0.0).any(axis=1), -1, given[:, :classes].argmax(axis=1))[:, None]


def _lead(given: Floats, classes: int, several: bool) -> Floats:
    """How far each row is from another answer: its best label from the second, all else from where it would turn."""
    probabilities, margins = given[:, :classes], np.abs(given[:, classes:])
    lead = np.full(len(given), np.inf, np.float32)
    if probabilities.shape[1] > 1 and not several:
        best = np.partition(probabilities, -2, axis=1)
        lead = best[:, -1] - best[:, -2]
    return np.minimum(lead, margins.min(axis=1, initial=np.inf))
