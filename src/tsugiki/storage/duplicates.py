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
MOST_EVIDENCE = 10  # ids listed with one sample
Status = Literal["accepted", "duplicate", "quarantined"]


@dataclass(frozen=True, slots=True)
class Twin:
    """One of the samples with the same content, stored or about to be."""

    id: str
    label: str | None
    issues: tuple[Issue, ...]
    aside: bool = False  # in quarantine


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one new sample; one that is there already and set aside is "quarantined".

    `id` is None only in a preview, for a sample that would be new. Pointers of `issues` start at the sample ("/label"):
    the caller knows where in its request that was.
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
    """`known` holds the stored twins by content_sha, and is left as it was. Takes time in proportion to both."""
    settled = Settlement()
    here: dict[str, dict[str | None, Twin]] = {
        sha: {twin.label: twin for twin in twins} for sha, twins in known.items()
    }
    touched: dict[str, None] = {}  # a set in order
    accepted: dict[int, tuple[str, str | None]] = {}  # by place of the outcome: content and label
    for place, sample in enumerate(samples):
        twins = here.setdefault(sample.content_sha, {})
        same = twins.get(sample.label) if sample.label is not None else next(iter(twins.values()), None)
        if same is not None:
            settled.outcomes.append(_there(same, sample))
            continue
        if (unlabelled := twins.pop(None, None)) is not None:
            twin = replace(unlabelled, label=sample.label)
        else:
            twin = Twin(new_id(), sample.label, sample.issues)
            settled.inserts[twin.id] = (sample, twin)
        twins[sample.label] = twin
        touched[sample.content_sha] = None
        accepted[place] = (sample.content_sha, sample.label)
        settled.outcomes.append(Stored(twin.id, "accepted", twin.issues))
    for sha in touched:
        stored = {twin.id: twin for twin in known.get(sha, ())}
        for twin in contradictions(list(here[sha].values())):
            here[sha][twin.label] = twin
            if twin.id in settled.inserts:
                settled.inserts[twin.id] = (settled.inserts[twin.id][0], twin)
            elif twin != stored[twin.id]:
                settled.updates[twin.id] = twin
    for place, (sha, label) in accepted.items():
        # One without a label that got one meanwhile is told of as it is now.
        found = here[sha].get(label) or next(iter(here[sha].values()))
        settled.outcomes[place] = Stored(found.id, "accepted", found.issues)
    return settled


def contradictions(twins: Sequence[Twin]) -> list[Twin]:
    """The twins with their record of contradiction brought up to date: each names the oldest of the others."""
    oldest = sorted(twin.id for twin in twins)[: MOST_EVIDENCE + 1]
    return [_noted(twin, tuple(id for id in oldest if id != twin.id)[:MOST_EVIDENCE]) for twin in twins]


def _there(same: Twin, sample: NewSample) -> Stored:
    if same.aside:
        status, told = "quarantined", ("and set aside.", "Relabel, keep or drop it: see the audit.")
    else:
        status, told = "duplicate", ("already.", "Nothing to do.")
    found = Issue(EXACT, "/input", f"This input is stored {told[0]}", told[1], (same.id,))
    return Stored(same.id, status, (*sample.issues, found))


def _noted(twin: Twin, others: tuple[str, ...]) -> Twin:
    if not others and not twin.issues:
        return twin  # nearly every sample of a large batch
    issues = tuple(issue for issue in twin.issues if issue.code != CONFLICTING)
    if others:
        issues += (
            Issue(CONFLICTING, "/label", "The same input has another label.", "Correct or delete one of them.", others),
        )
    return replace(twin, issues=issues)
