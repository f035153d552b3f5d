"""Which samples two versions may be compared on: both answered them unseen, and both were told the same of them.

What a candidate learned may be poisoned, and then so are the labels it would be judged by: a flipped label flatters
whoever learned the flip. So a sample counts only with the label that both versions' snapshots give it. What was added
or relabelled since the live version neither condemns nor excuses the candidate; its harm shows on the samples that
stayed as they were. But a text that the live version answered rightly, and of which the candidate was told otherwise in
more spellings than not, counts as lost: that is what it will answer, whatever a fit that left all spellings out said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Ints


@dataclass(frozen=True, slots=True)
class History:
    """A version's snapshot and its held-out answers, as labels by sample id."""

    told: Mapping[str, str]
    answered: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reversal:
    """Of `right` samples that the live version held out and answered as it was told, `moved` are told otherwise now.

    Only moves to labels that the live version knew: a label split, merged into a new one or renamed is no reversal.
    """

    label: str
    right: int
    moved: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """Who was right on the common samples, (rows,) each; `targets` index `labels`. `reversals`: one a label, if any."""

    labels: tuple[str, ...]
    targets: Ints
    candidate: NDArray[np.bool_]
    live: NDArray[np.bool_]
    reversals: tuple[Reversal, ...] = ()


def pair(live: History, candidate: History, groups: Mapping[str, str]) -> Pairs:
    """`groups` says of the candidate's samples which others are the same text, but for its spelling.

    One that it does not know, deleted since, is a group of its own.
    """
    now = _majorities(candidate.told, groups)
    known = set(live.told.values())
    rows: list[tuple[str, bool, bool]] = []
    right: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for sample, answer in live.answered.items():
        label, today = live.told[sample], candidate.told.get(sample)
        if today is None:
            continue
        told = now.get(groups.get(sample, sample), today) if today == label else today
        if answer == label and (told == label or told in known):
            right[label] += 1
            moved[label] += told != label
        if today == label and sample in candidate.answered and (told == label or answer == label):
            rows.append((label, told == label and candidate.answered[sample] == label, answer == label))
    labels = tuple(sorted({label for label, _, _ in rows}))
    place = {label: index for index, label in enumerate(labels)}
    return Pairs(
        labels=labels,
        targets=np.array([place[label] for label, _, _ in rows], np.int64),
        candidate=np.array([mine for _, mine, _ in rows], np.bool_),
        live=np.array([theirs for _, _, theirs in rows], np.bool_),
        reversals=tuple(Reversal(label, right[label], moved[label]) for label in sorted(moved) if moved[label]),
    )


def _majorities(told: Mapping[str, str], groups: Mapping[str, str]) -> dict[str, str]:
    """The label of most samples of a group, where there is one, for groups of more than one sample."""
    counts: dict[str, Counter[str]] = {}
    for sample, label in told.items():
        counts.setdefault(groups.get(sample, sample), Counter())[label] += 1
    return {group: most for group, labels in counts.items() if (most := _majority(labels)) is not None}


def _majority(labels: Counter[str]) -> str | None:
    (label, count), *others = labels.most_common(2)
    return label if count > 1 and (not others or count > others[0][1]) else None
