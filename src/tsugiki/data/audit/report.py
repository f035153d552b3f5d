"""The whole audit of a snapshot, as plain JSON that is kept with the version's evaluation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit.balance import balance
from tsugiki.data.audit.duplicates import duplicates
from tsugiki.data.audit.finding import ADVICE, Finding
from tsugiki.data.audit.lengths import lengths
from tsugiki.data.audit.outliers import outliers
from tsugiki.data.audit.quality import quality
from tsugiki.data.audit.suspects import set_suspects, suspects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.data.audit.lengths import Lengths
    from tsugiki.data.audit.neighbours import Neighbours
    from tsugiki.data.audit.quality import Measures
    from tsugiki.domain import HeldOut, Ints, Json, Snapshot

FORMAT = 1
MOST_LISTED = 1_000  # findings of one code; more are counted, and nobody reads so many before the next audit


@dataclass(frozen=True, slots=True)
class Sets:
    """Which of the `labels` that were learnt each row has, `truth` (rows, labels); `held_out` answers are of these."""

    labels: Sequence[str]
    truth: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Material:
    """What an audit reads: `groups` (rows,) of equal inputs, and the rest as their owners say.

    `lengths` of texts, `measures` (rows,) of pictures and sounds, `sets` where a row may have several labels.
    """

    snapshot: Snapshot
    groups: Sequence[str]
    near: Neighbours
    lengths: Lengths | None
    held_out: HeldOut
    measures: Sequence[Measures | None] = ()
    sets: Sets | None = None


def audit(material: Material, kept: Collection[tuple[str, str]] = ()) -> Json:
    """Findings, the surest first of each code. `kept` are (sample id, code) that somebody looked at: left out, counted.

    `findings` name samples by id, and quote none.
    """
    snapshot = material.snapshot
    findings: list[Json] = []
    summary: dict[str, dict[str, int]] = {}
    for finding in _found(material):
        counts = summary.setdefault(finding.code, {"found": 0, "listed": 0, "kept": 0})
        if finding.row is not None and (snapshot.sample_ids[finding.row], finding.code) in kept:
            counts["kept"] += 1
            continue
        counts["found"] += 1
        if counts["listed"] < MOST_LISTED:
            counts["listed"] += 1
            findings.append(_as_json(finding, material))
    return {
        "format": FORMAT,
        "samples": len(snapshot.sample_ids),
        "held_out": len(material.held_out.rows),
        "neighbours": "exact" if material.near.exact else "approximate",
        "summary": summary,
        "findings": findings,
    }


def _found(material: Material) -> Iterator[Finding]:
    return chain(_told_apart(material), quality(material.measures))


def _told_apart(material: Material) -> Iterator[Finding]:
    """What labels, neighbours and lengths tell."""
    snapshot, held_out = material.snapshot, material.held_out
    targets = np.array(snapshot.targets, np.int64)
    folds = np.array(snapshot.folds, np.int64)
    missed = np.zeros(len(targets), np.bool_)
    if material.sets is not None and held_out.answers is not None:
        truth = material.sets.truth
        missed[held_out.rows] = (held_out.answers != truth[held_out.rows]).any(axis=1)
        return chain(
            set_suspects(truth, held_out.rows, held_out.probabilities, material.near),
            duplicates(material.groups, targets, folds, material.near),
            outliers(material.near),
            _lengths(material, missed),
            balance(_members(snapshot), material.near),
        )
    missed[held_out.rows] = held_out.probabilities.argmax(axis=1) != targets[held_out.rows]
    return chain(
        suspects(targets, held_out.rows, held_out.probabilities, material.near),
        duplicates(material.groups, targets, folds, material.near),
        outliers(material.near),
        _lengths(material, missed),
        balance(_members(snapshot), material.near),
    )


def _members(snapshot: Snapshot) -> list[Ints]:
    """The rows of each label, in order; those of several labels are in each of theirs."""
    targets = np.array(snapshot.targets, np.int64)
    sets = snapshot.combinations
    if sets is None:
        sets = tuple((label,) for label in range(len(snapshot.labels)))
    kinds: list[list[int]] = [[] for _ in snapshot.labels]
    for kind, of_kind in enumerate(sets):
        for label in of_kind:
            kinds[label].append(kind)
    return [np.flatnonzero(np.isin(targets, of_label)) for of_label in kinds]


def _lengths(material: Material, missed: NDArray[np.bool_]) -> Iterator[Finding]:
    return iter(()) if material.lengths is None else lengths(material.lengths, missed)


def _as_json(finding: Finding, material: Material) -> Json:
    advice, snapshot = ADVICE[finding.code], material.snapshot
    row = finding.row
    told: Json = {
        "code": finding.code,
        "sample": None if row is None else snapshot.sample_ids[row],
        **_labels_of(finding, snapshot),
        "pointer": advice.pointer,
        "detail": f"{advice.detail} ({finding.detail})" if finding.detail else advice.detail,
        "fix": advice.fix,
        "actions": list(advice.actions),
        "evidence": [snapshot.sample_ids[other] for other in finding.evidence],
    }
    if finding.score is not None:
        told["score"] = finding.score
    if finding.suggested is not None:
        told["suggested_label"] = snapshot.labels[finding.suggested]
    if finding.wrong and material.sets is not None:
        wrong = {material.sets.labels[label] for label in finding.wrong}
        told["suggested_labels"] = sorted(wrong ^ set(told["labels"]))
    return told


def _labels_of(finding: Finding, snapshot: Snapshot) -> Json:
    """`labels` besides where a row may have several; `label` is then the only one or None."""
    if finding.row is None:
        assert finding.label is not None, "a finding is about a row or a label: this is a bug"
        return {"label": snapshot.labels[finding.label]}
    target = snapshot.targets[finding.row]
    if snapshot.combinations is None:
        return {"label": snapshot.labels[target]}
    labels = [snapshot.labels[place] for place in snapshot.combinations[target]]
    return {"label": labels[0] if len(labels) == 1 else None, "labels": labels}
