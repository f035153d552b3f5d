"""Which samples two versions may be compared on: both answered them unseen, and both were told the same of them.

What a candidate learned may be poisoned, and then so are the labels it would be judged by: a flipped label flatters
whoever learned the flip. So a sample counts only with the label that both versions' snapshots give it. What was added
or relabelled since the live version neither condemns nor excuses the candidate; its harm shows on the samples that
stayed as they were. One exception: if the live version answered a text rightly, and most of its spellings now carry
another label in the candidate's data, the text counts as lost. The candidate will answer with the new label, whatever
its held-out fit said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsugiki.domain import LINE, told_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Ints


@dataclass(frozen=True, slots=True)
class History:
    """A version's snapshot and its held-out answers by sample id: a label each, or a set as `tell_labels` writes it."""

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
class Recall:
    """Who found a label on the common samples that have it, (rows,) each."""

    label: str
    candidate: NDArray[np.bool_]
    live: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Who was right on the common samples, (rows,) each; `targets` index `labels`. `reversals`: one a label, if any.

    Of samples with several labels it is how right, an F1 of 0..1; `targets` index their sets, and `recalls` tell of the
    labels.
    """

    labels: tuple[str, ...]
    targets: Ints
    candidate: NDArray[np.bool_] | NDArray[np.float64]
    live: NDArray[np.bool_] | NDArray[np.float64]
    reversals: tuple[Reversal, ...] = ()
    recalls: tuple[Recall, ...] | None = None


def pair(live: History, candidate: History, groups: Mapping[str, str]) -> Pairs:
    """`groups` says of the candidate's samples which others are the same text, but for its spelling.

    One that it does not know, deleted since, is a group of its own.
    """
    now = _majorities(candidate.told, groups)
    known = {label for told in live.told.values() for label in told_labels(told)}
    rows: list[_Row] = []
    right: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for sample, answer in live.answered.items():
        label, today = live.told[sample], candidate.told.get(sample)
        if today is None:
            continue
        told = now.get(groups.get(sample, sample), today) if today == label else today
        for one in told_labels(label):
            if one in told_labels(answer) and (told == label or known.issuperset(told_labels(told))):
                right[one] += 1
                moved[one] += one not in told_labels(told)
        if today == label and sample in candidate.answered and (told == label or answer == label):
            # What was told otherwise in other spellings will be answered so, whatever was answered held out.
            rows.append(_Row(label, candidate.answered[sample] if told == label else told, answer))
    kinds = tuple(sorted({row.told for row in rows}))
    place = {told: index for index, told in enumerate(kinds)}
    several = any(told.startswith(LINE) for told in live.told.values())
    return Pairs(
        labels=kinds,
        targets=np.array([place[row.told] for row in rows], np.int64),
        candidate=_scores(rows, [row.candidate for row in rows], several=several),
        live=_scores(rows, [row.live for row in rows], several=several),
        reversals=tuple(Reversal(label, right[label], moved[label]) for label in sorted(moved) if moved[label]),
        recalls=_recalls(rows) if several else None,
    )


class _Row(NamedTuple):
    """A common sample: what both were told of it, and what each answered."""

    told: str
    candidate: str
    live: str


def _scores(rows: Sequence[_Row], answers: Sequence[str], *, several: bool) -> NDArray[np.bool_] | NDArray[np.float64]:
    pairs = list(zip((row.told for row in rows), answers, strict=True))
    if several:
        return np.array([_f1(told, answer) for told, answer in pairs], np.float64)
    return np.array([told == answer for told, answer in pairs], np.bool_)


def _f1(told: str, answer: str) -> float:
    """Of a sample's set of labels; 1 where both are empty."""
    truth, given = set(told_labels(told)), set(told_labels(answer))
    return 2.0 * len(truth & given) / (len(truth) + len(given)) if truth or given else 1.0


def _recalls(rows: Sequence[_Row]) -> tuple[Recall, ...]:
    """The rows of each label, who found it in them."""
    found: dict[str, list[tuple[bool, bool]]] = {}
    for row in rows:
        for label in told_labels(row.told):
            both = (label in told_labels(row.candidate), label in told_labels(row.live))
            found.setdefault(label, []).append(both)
    columns = {label: np.array(pairs, np.bool_).T for label, pairs in sorted(found.items())}
    return tuple(Recall(label, mine, theirs) for label, (mine, theirs) in columns.items())


def _majorities(told: Mapping[str, str], groups: Mapping[str, str]) -> dict[str, str]:
    """The label of most samples of a group, where there is one, for groups of more than one sample."""
    counts: dict[str, Counter[str]] = {}
    for sample, label in told.items():
        counts.setdefault(groups.get(sample, sample), Counter())[label] += 1
    return {group: most for group, labels in counts.items() if (most := _majority(labels)) is not None}


def _majority(labels: Counter[str]) -> str | None:
    (label, count), *others = labels.most_common(2)
    return label if count > 1 and (not others or count > others[0][1]) else None
