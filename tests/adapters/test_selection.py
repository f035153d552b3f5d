from __future__ import annotations

from dataclasses import replace

import pytest

from adapters import METHODS
from adapters.selection import plan
from tsugiki.domain import Budget, Profile
from tsugiki.errors import Invalid

PROFILE = Profile(samples=100, labels=4, min_per_label=20, max_per_label=30, dim=384)


@pytest.mark.parametrize("wanted", ["auto", "head"])
def test_a_plan_names_a_method_with_numbers(wanted: str) -> None:
    made = plan(METHODS, PROFILE, Budget(seconds=60), "auto" if wanted == "auto" else "head")
    assert made.chosen == "head"
    assert "100 samples of 4 labels, 20 to 30 a label" in made.reasons
    assert [verdict.method for verdict in made.candidates] == ["head"]
    assert made.profile == PROFILE


@pytest.mark.parametrize(
    ("profile", "code", "detail"),
    [
        (replace(PROFILE, labels=1), "too_few_labels", "1 labels with samples, need 2"),
        (replace(PROFILE, labels=0, samples=0), "too_few_labels", "0 labels"),
        (replace(PROFILE, min_per_label=1), "too_few_samples", "a label has 1 samples, need 2 of each"),
        (replace(PROFILE, labels=1_200), "too_many_labels", "1200 labels, at most 1000"),
        (replace(PROFILE, samples=200_000), "too_many_samples", "200000 samples, at most 100000"),
    ],
)
@pytest.mark.parametrize("wanted", ["auto", "head"])
def test_what_cannot_run_says_what_is_there_and_what_is_needed(
    profile: Profile, code: str, detail: str, wanted: str
) -> None:
    with pytest.raises(Invalid) as raised:
        plan(METHODS, profile, Budget(), "auto" if wanted == "auto" else "head")
    assert raised.value.reason == code
    assert detail in raised.value.detail
    assert raised.value.fix
    assert raised.value.issues


def test_a_method_that_is_not_here_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="'lora'") as raised:
        plan(METHODS, PROFILE, Budget(), "lora")
    assert raised.value.reason == "method_unavailable"


def test_a_budget_that_the_least_effort_exceeds_is_told() -> None:
    made = plan(METHODS, replace(PROFILE, samples=100_000, labels=1_000), Budget(seconds=5), "auto")
    assert "over the budget" in made.reasons[-1]
