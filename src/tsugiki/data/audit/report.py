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
from tsugiki.data.audit.suspects import suspects

if TYPE_CHECKING:
    from tsugiki.data.audit.lengths import Lengths
    from tsugiki.data.audit.neighbours import Neighbours
    from tsugiki.domain import HeldOut, Json, Snapshot

FORMAT = 1
MOST_LISTED = 1_000  # findings of one code; more are counted, and nobody reads so many before the next audit


@dataclass(frozen=True, slots=True)
class Material:
    """What an audit reads: `groups` (rows,) of equal inputs, and the rest as their owners say."""

    snapshot: Snapshot
    groups: Sequence[str]
    near: Neighbours
    lengths: Lengths
    held_out: HeldOut


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
            findings.append(_as_json(finding, snapshot))
    return {
        "format": FORMAT,
        "samples": len(snapshot.sample_ids),
        "held_out": len(material.held_out.rows),
        "neighbours": "exact" if material.near.exact else "approximate",
        "summary": summary,
        "findings": findings,
    }


def _found(material: Material) -> Iterator[Finding]:
    snapshot, held_out = material.snapshot, material.held_out
    targets = np.array(snapshot.targets, np.int64)
    folds = np.array(snapshot.folds, np.int64)
    missed = np.zeros(len(targets), np.bool_)
    missed[held_out.rows] = held_out.probabilities.argmax(axis=1) != targets[held_out.rows]
    return chain(
        suspects(targets, held_out.rows, held_out.probabilities, material.near),
        duplicates(material.groups, targets, folds, material.near),
        outliers(material.near),
        lengths(material.lengths, missed),
        balance(targets, len(snapshot.labels), material.near),
    )


def _as_json(finding: Finding, snapshot: Snapshot) -> Json:
    advice = ADVICE[finding.code]
    row, label = finding.row, finding.label
    if row is not None:
        label = snapshot.targets[row]
    assert label is not None, "a finding is about a row or a label: this is a bug"
    told: Json = {
        "code": finding.code,
        "sample": None if row is None else snapshot.sample_ids[row],
        "label": snapshot.labels[label],
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
    return told
