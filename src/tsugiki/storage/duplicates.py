"""What a new sample is beside those with the same content: pure, so that storing and previewing cannot differ.

Of one content there is at most one sample a label; one without a label only as long as it is alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tsugiki.domain import NewSample
from tsugiki.errors import Issue

EXACT, CONFLICTING = "duplicate_exact", "duplicate_conflicting_label"
Status = Literal["accepted", "duplicate"]


@dataclass(frozen=True, slots=True)
class Twin:
    """One of the samples with the same content, stored or about to be."""

    id: str
    label: str | None
    issues: tuple[Issue, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one new sample. `id` is None only in a preview, for a sample that would be new.

    Pointers of `issues` start at the sample ("/label"): the caller knows where in its request that was.
    """

    id: str | None
    status: Status
    issues: tuple[Issue, ...]


@dataclass(slots=True)
class Settlement:
    """`outcomes` in the order given; `inserts` by new id, `updates` by known id: label and issues as they shall be."""

    outcomes: list[Stored] = field(default_factory=list[Stored])
    inserts: dict[str, tuple[NewSample, Twin]] = field(default_factory=dict[str, tuple[NewSample, Twin]])
    updates: dict[str, Twin] = field(default_factory=dict[str, Twin])


def settle(known: dict[str, list[Twin]], samples: Iterable[NewSample], new_id: Callable[[], str]) -> Settlement:
    """`known` holds the stored twins by content_sha, and is left as it was."""
    settled = Settlement()
    here = {sha: list(twins) for sha, twins in known.items()}
    for sample in samples:
        twins = here.setdefault(sample.content_sha, [])
        same = _same(twins, sample.label)
        if same is not None:
            found = Issue(EXACT, "/input", "This input is stored already.", "Nothing to do.", (same.id,))
            settled.outcomes.append(Stored(same.id, "duplicate", (*sample.issues, found)))
            continue
        unlabelled = next((twin for twin in twins if twin.label is None), None)
        if unlabelled is not None:
            twins[twins.index(unlabelled)] = replace(unlabelled, label=sample.label)
        else:
            twins.append(Twin(new_id(), sample.label, sample.issues))
        twins[:] = contradictions(twins)
        mine = next(twin for twin in twins if twin.label == sample.label)
        settled.outcomes.append(Stored(mine.id, "accepted", mine.issues))
        if unlabelled is None:
            settled.inserts[mine.id] = (sample, mine)
        _note(settled, twins)
    return settled


def contradictions(twins: Sequence[Twin]) -> list[Twin]:
    """The twins with their record of contradiction brought up to date: each names all the others."""
    return [_noted(twin, tuple(sorted(other.id for other in twins if other.id != twin.id))) for twin in twins]


def _same(twins: Sequence[Twin], label: str | None) -> Twin | None:
    if label is None:
        return twins[0] if twins else None
    return next((twin for twin in twins if twin.label == label), None)


def _noted(twin: Twin, others: tuple[str, ...]) -> Twin:
    if not others and not twin.issues:
        return twin  # nearly every sample of a large batch
    issues = tuple(issue for issue in twin.issues if issue.code != CONFLICTING)
    if others:
        issues += (
            Issue(CONFLICTING, "/label", "The same input has another label.", "Correct or delete one of them.", others),
        )
    return replace(twin, issues=issues)


def _note(settled: Settlement, twins: Sequence[Twin]) -> None:
    for twin in twins:
        if twin.id in settled.inserts:
            settled.inserts[twin.id] = (settled.inserts[twin.id][0], twin)
        else:
            settled.updates[twin.id] = twin
