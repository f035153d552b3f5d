"""Which method adapts a project, and why. Pure: sizes in, plan out; loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tsugiki.domain import (
    MAX_LABELS,
    MAX_SAMPLES,
    MIN_LABELS,
    MIN_PER_LABEL,
    Budget,
    MethodName,
    Plan,
    Profile,
    Verdict,
)
from tsugiki.errors import Invalid, Issue
from tsugiki.ports import Method


def plan(methods: Sequence[Method], profile: Profile, budget: Budget, wanted: MethodName | Literal["auto"]) -> Plan:
    """The wanted method, or by "auto" the cheapest that may run. Raises Invalid if none can.

    `methods` are from cheap to dear; the plan's candidates are all of them.
    """
    verdicts = tuple(method.assess(profile, budget) for method in methods)
    runnable = [v for v in verdicts if v.skipped is None]
    if wanted == "auto":
        if not runnable:
            raise _nothing_runs(profile, verdicts)
        chosen = runnable[0]
    else:
        chosen = _wanted(wanted, verdicts, profile)
    return Plan(chosen.method, _reasons(chosen, profile, budget, wanted), profile, verdicts)


def _wanted(wanted: MethodName, verdicts: Sequence[Verdict], profile: Profile) -> Verdict:
    verdict = next((v for v in verdicts if v.method == wanted), None)
    if verdict is None:
        names = ", ".join(v.method for v in verdicts)
        raise Invalid(
            f"method {wanted!r} was asked for, expected one of: {names}",
            fix='ask for "auto", or a method of this list',
            code="method_unavailable",
        )
    if verdict.skipped is not None:
        raise _nothing_runs(profile, [verdict])
    return verdict


def _nothing_runs(profile: Profile, verdicts: Sequence[Verdict]) -> Invalid:
    """The lack to be mended first, with what is there and what is needed."""
    issues = [Issue("method_unavailable", "", f"{v.method}: {v.skipped}") for v in verdicts]
    if profile.labels < MIN_LABELS:
        found = f"{profile.labels} labels with samples, need {MIN_LABELS}"
        return Invalid(found, fix="add samples of another label", code="too_few_labels", issues=issues)
    if profile.min_per_label < MIN_PER_LABEL:
        found = f"a label has {profile.min_per_label} samples, need {MIN_PER_LABEL} of each"
        return Invalid(found, fix="add samples of the rarest labels", code="too_few_samples", issues=issues)
    if profile.labels > MAX_LABELS:
        found = f"{profile.labels} labels, at most {MAX_LABELS}"
        return Invalid(found, fix="join labels, or split the project", code="too_many_labels", issues=issues)
    if profile.samples > MAX_SAMPLES:
        found = f"{profile.samples} samples, at most {MAX_SAMPLES}"
        return Invalid(found, fix="delete samples that add nothing", code="too_many_samples", issues=issues)
    found = "; ".join(issue.detail for issue in issues) or "no method is installed"
    return Invalid(found, fix="raise the budget, or ask for another method", code="method_unavailable", issues=issues)


def _reasons(chosen: Verdict, profile: Profile, budget: Budget, wanted: str) -> tuple[str, ...]:
    why = "the cheapest method that may run" if wanted == "auto" else "asked for"
    spread = f"{profile.min_per_label} to {profile.max_per_label} a label"
    cost = f"estimated at {chosen.seconds:.2g} s and {chosen.peak_bytes / 2**20:.0f} MiB"
    if budget.seconds is not None:
        over = " (over the budget: even its least effort takes longer)" if chosen.seconds > budget.seconds else ""
        cost += f", with a budget of {budget.seconds:g} s{over}"
    return (
        f"{chosen.method}: {why}",
        f"{profile.samples} samples of {profile.labels} labels, {spread}",
        cost,
    )
