"""Labels that are probably wrong, with what speaks against them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit.confident import label_issues
from tsugiki.data.audit.finding import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.data.audit.neighbours import Neighbours
    from tsugiki.domain import Floats, Ints

EVIDENCE = 3  # of the nearest samples that have the suggested label
FEWEST_CLASSES = 2


def suspects(targets: Ints, held: Ints, probabilities: Floats, near: Neighbours) -> Iterator[Finding]:
    """`held` (held,) are the rows that `probabilities` (held, classes) are of, by fits that had not seen them.

    The score is the normalised margin: 1 where all probability is on the suggested label, 0.5 where both have as
    much.
    """
    if len(held) == 0 or probabilities.shape[1] < FEWEST_CLASSES:
        return
    given = targets[held]
    best = probabilities.argmax(axis=1)
    for place in label_issues(given, probabilities).tolist():
        if best[place] == given[place]:
            continue  # unsure of its label, and of every other even more
        row, suggested = int(held[place]), int(best[place])
        margin = float(probabilities[place, suggested] - probabilities[place, given[place]])
        around = near.rows[row]
        evidence = around[targets[around] == suggested][:EVIDENCE]
        yield Finding(
            "label_suspect",
            row,
            evidence=tuple(evidence.tolist()),
            score=round((1 + margin) / 2, 4),
            suggested=suggested,
            detail=f"{_percent(margin)} more probability than its own",
        )


def set_suspects(truth: NDArray[np.bool_], held: Ints, probabilities: Floats, near: Neighbours) -> Iterator[Finding]:
    """The same where a row may have several labels: `truth` (rows, labels), `probabilities` (held, labels).

    Each label is a question of two answers; a row is named once, with all its labels that are probably wrong.
    """
    given = truth[held]
    wrong: dict[int, list[tuple[float, int]]] = {}
    for label in range(truth.shape[1]):
        chances = np.stack([1.0 - probabilities[:, label], probabilities[:, label]], axis=1)
        for place in label_issues(given[:, label].astype(np.int64), chances).tolist():
            margin = float(chances[place, 1 - int(given[place, label])] - chances[place, int(given[place, label])])
            if margin > 0.0:
                wrong.setdefault(place, []).append((margin, label))
    for place, found in sorted(wrong.items(), key=lambda one: -max(one[1])[0]):
        row, surest = int(held[place]), max(found)
        suggested = truth[row, surest[1]] ^ True
        around = near.rows[row]
        evidence = around[truth[around, surest[1]] == suggested][:EVIDENCE]
        yield Finding(
            "label_suspect",
            row,
            evidence=tuple(evidence.tolist()),
            score=round((1 + surest[0]) / 2, 4),
            wrong=tuple(label for _, label in sorted(found, reverse=True)),
            detail=f"{len(found)} of its labels are missing or too many, the surest by {_percent(surest[0])}",
        )


def _percent(margin: float) -> str:
    return f"{np.clip(100 * margin, 0, 100):.0f} %"
