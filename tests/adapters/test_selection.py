"""The plan as a table: a profile in, a method with its reasons out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from adapters.full import FullMethod
from adapters.head import HeadMethod
from adapters.lora import LoraMethod
from adapters.partial import PartialMethod
from adapters.selection import plan, readiness
from adapters.zero_shot import ZeroShotMethod
from tsugiki.domain import Budget, Closeness, Fitted, MethodName, Profile, TrainingSet, Verdict
from tsugiki.errors import Invalid
from tsugiki.ports import Backbone, Method, Progress

METHODS: tuple[Method, ...] = (ZeroShotMethod(), HeadMethod())  # where nothing deeper is installed
ALL: tuple[Method, ...] = (*METHODS, LoraMethod(), PartialMethod(), FullMethod())
PROFILE = Profile(samples=100, labels=4, min_per_label=20, max_per_label=30, dim=384, median_per_label=25)
NAMES = Profile(samples=0, labels=4, min_per_label=0, max_per_label=0, dim=384, declared=4, named=True)


def near(accuracy: float) -> Closeness:
    return Closeness(accuracy, (accuracy - 0.05, accuracy + 0.05), 0.02, (0.0, 0.04))


@dataclass(frozen=True, slots=True)
class Deep:
    """A method that can be planned, and never runs here."""

    name: MethodName
    seconds: float
    skipped: str | None = None

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        return Verdict(self.name, self.seconds, 2**20, self.skipped)

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        raise AssertionError("a plan fits nothing")


LORA, PARTIAL, FULL = Deep("lora", 300.0), Deep("partial", 600.0), Deep("full", 900.0)
DEEP = (LORA, PARTIAL, FULL)
INTENTS = Profile(770, 77, 10, 10, 768, widths=(384, 384), median_per_label=10.0, max_tokens=40)
PICTURES = replace(PROFILE, samples=500, labels=5, median_per_label=100.0, modality="image")
FEW = Profile(16, 2, 8, 8, 768, median_per_label=8.0, closeness=near(0.7))
SEVERAL = replace(PROFILE, task="multi_label")
PHOTOS = replace(PROFILE, modality="image", median_per_label=5.0)
MANY = replace(PROFILE, samples=8_000, min_per_label=1_800, max_per_label=2_200, median_per_label=2_000.0)
SOME = replace(MANY, samples=5_000, labels=2, closeness=near(0.83))


@pytest.mark.parametrize("wanted", ["auto", "head"])
def test_a_plan_names_a_method_with_numbers(wanted: str) -> None:
    made = plan(METHODS, PROFILE, Budget(seconds=60), "auto" if wanted == "auto" else "head")
    assert made.chosen == "head"
    assert "100 samples of 4 labels, 20 to 30 a label" in made.reasons
    assert [verdict.method for verdict in made.candidates] == ["zero_shot", "head"]
    assert made.profile == PROFILE


@pytest.mark.parametrize(
    ("profile", "chosen"),
    [
        (PROFILE, "head"),
        (NAMES, "zero_shot"),
        (replace(NAMES, samples=3, max_per_label=1), "zero_shot"),
        (replace(NAMES, samples=4, max_per_label=2), "head"),
        (replace(PROFILE, min_per_label=0, named=True, declared=4), "head"),
        # Labels without samples are not all declared: what is declared can still answer.
        (replace(PROFILE, min_per_label=1, declared=2), "zero_shot"),
    ],
)
def test_auto_takes_the_best_of_what_answers_within_a_request(profile: Profile, chosen: str) -> None:
    assert plan((*METHODS, LORA, FULL), profile, Budget(), "auto").chosen == chosen


@pytest.mark.parametrize(
    ("profile", "budget", "deep", "expected", "reason"),
    [
        (replace(MANY, closeness=near(0.83)), Budget(), (LORA, FULL), "full", "next full: 2.6 points expected"),
        # What a cheaper one is thought to lack is worth its price.
        (replace(MANY, closeness=near(0.91)), Budget(), (LORA, FULL), "full", "next full: 1.3 points expected"),
        (replace(MANY, closeness=near(0.89)), Budget(), (FULL, PARTIAL), "full", "it must pass the gate"),
        # Of pictures the top blocks bring as much as all of them.
        (replace(MANY, closeness=near(0.83), modality="image"), Budget(), (PARTIAL, FULL), "partial", "next partial"),
        (replace(PICTURES, closeness=near(0.91)), Budget(), (PARTIAL, FULL), None, "less than a point"),
        (replace(MANY, closeness=near(0.83)), Budget(), (PARTIAL, FULL), "full", "next full"),
        (
            replace(MANY, closeness=near(0.83)),
            Budget(),
            (replace(LORA, skipped="no memory"), FULL),
            "full",
            "next full",
        ),
        (replace(MANY, closeness=near(0.83)), Budget(60), (LORA, FULL), None, "lora: 300 s of the 60 s allowed"),
        (replace(MANY, closeness=near(0.83)), Budget(), (), None, "no deeper method is installed"),
        (MANY, Budget(), (LORA, FULL), None, "once the head was judged"),
        (replace(PHOTOS, closeness=near(0.87)), Budget(), DEEP, None, "training the top blocks from about 350 samples"),
        (replace(INTENTS, closeness=near(0.87)), Budget(), DEEP, None, "training all blocks from about 310 samples"),
        # Of several labels a sample lora alone learns, which reaches less.
        (replace(SEVERAL, closeness=near(0.7)), Budget(), DEEP, None, "LoRA from about 360 samples per label"),
        (replace(SEVERAL, closeness=near(0.87)), Budget(), DEEP, None, "LoRA: the head leaves less to gain than 1"),
        (replace(MANY, closeness=near(0.99)), Budget(), DEEP, None, "less to gain than 1 point"),
        (NAMES, Budget(), (LORA,), None, "next: the head"),
        # Many labels of few texts each: lora alone is known to bring anything there.
        (replace(INTENTS, closeness=near(0.8)), Budget(), (LORA, FULL), "lora", "next lora: 1.4 points expected"),
        (replace(INTENTS, closeness=near(0.8)), Budget(60), (LORA, FULL), None, "lora: 300 s of the 60 s allowed"),
        (replace(INTENTS, closeness=near(0.8)), Budget(), (FULL,), None, "less than a point"),
        (replace(INTENTS, closeness=near(0.95)), Budget(), (LORA, FULL), None, "less than a point"),
        (replace(INTENTS, samples=2_000, closeness=near(0.8)), Budget(), (LORA, FULL), None, "less than a point"),
        (replace(INTENTS, samples=90, labels=9, closeness=near(0.8)), Budget(), (LORA,), None, "ask for it by name"),
        # Few labels with some dozens of texts each: likewise.
        (replace(PROFILE, closeness=near(0.8)), Budget(), (LORA, FULL), "lora", "next lora: 3.4 points expected"),
        (replace(PROFILE, closeness=near(0.8)), Budget(60), (LORA, FULL), None, "lora: 300 s of the 60 s allowed"),
        (replace(PROFILE, closeness=near(0.8)), Budget(), (FULL,), None, "less than a point"),
        (replace(PROFILE, closeness=near(0.95)), Budget(), (LORA, FULL), None, "less than a point"),
        (replace(PROFILE, samples=8_000, closeness=near(0.8)), Budget(), (LORA,), None, "less than a point"),
        (replace(PROFILE, labels=9, samples=900, closeness=near(0.8)), Budget(), (LORA,), None, "less than a point"),
        # Of some thousands pairs bring as much as all of the network, and are served with others'.
        (SOME, Budget(), (LORA, FULL), "lora", "next lora: 2.9 points expected"),
        # Of fewer held out no gate could show it.
        (replace(PROFILE, samples=80, closeness=near(0.8)), Budget(), (LORA,), None, "LoRA from about 25 samples"),
    ],
)
def test_what_may_pay_next_is_named_with_its_reason(
    profile: Profile, budget: Budget, deep: tuple[Deep, ...], expected: MethodName | None, reason: str
) -> None:
    made = plan((*METHODS, *deep), profile, budget, "auto")
    assert made.next == expected
    assert any(reason in told for told in made.reasons), made.reasons


@pytest.mark.parametrize(
    ("profile", "deep", "told"),
    [
        (FEW, (LORA,), True),
        (FEW, (FULL,), False),
        (FEW, (replace(LORA, skipped="no trainer"),), False),
        (replace(FEW, samples=80, min_per_label=40, max_per_label=40), (LORA,), True),
        (replace(FEW, samples=100, closeness=near(0.95), min_per_label=50, max_per_label=50), (LORA,), False),
        (replace(FEW, mean_tokens=300.0), (LORA,), False),
        (replace(FEW, mean_tokens=60.0, max_tokens=300), (LORA,), True),
        (replace(FEW, modality="image"), (LORA,), False),
        (replace(FEW, task="multi_label"), (LORA,), False),
    ],
)
def test_what_so_few_texts_cannot_show_is_told_and_left_to_be_asked_for(
    profile: Profile, deep: tuple[Deep, ...], told: bool
) -> None:
    made = plan((*METHODS, *deep), profile, Budget(), "auto")
    assert made.next is None
    assert any("ask for it by name" in reason for reason in made.reasons) == told


def test_what_was_asked_for_by_name_has_nothing_next() -> None:
    assert plan((*METHODS, LORA), replace(MANY, closeness=near(0.5)), Budget(), "head").next is None


def test_candidates_tell_what_accuracy_to_expect_with_its_interval() -> None:
    made = plan((*METHODS, LORA), replace(MANY, closeness=near(0.8)), Budget(), "auto")
    zero_shot, head, lora = made.candidates
    assert (zero_shot.score, zero_shot.ci95) == (None, None)
    assert (head.score, head.ci95) == (0.8, pytest.approx((0.75, 0.85)))
    assert lora.score == pytest.approx(0.812)
    assert lora.ci95 == pytest.approx((0.75, 0.874)), "fine-tuning may bring nothing, or twice what it did elsewhere"
    assert all(verdict.score is None for verdict in plan(METHODS, PROFILE, Budget(), "auto").candidates)


@pytest.mark.parametrize(
    ("profile", "method_now", "next_method", "needs"),
    [
        (Profile(0, 0, 0, 0, 1), None, "head", "at least 2 labels with 2 samples each"),
        (replace(PROFILE, min_per_label=1), None, "head", "at least 2 labels with 2 samples each"),
        (NAMES, "zero_shot", "head", "4 more labelled samples"),
        (SEVERAL, "head", "lora", "too little to gain"),
        (replace(SEVERAL, closeness=near(0.7)), "head", "lora", "≈335 more per label"),
        (PROFILE, "head", "lora", "nothing more"),
        (replace(FEW, closeness=None), "head", "lora", "≈42 more per label"),
        (FEW, "head", "lora", "≈42 more per label"),
        (MANY, "head", "full", "nothing more"),
        (replace(MANY, closeness=near(0.83)), "head", "full", "nothing more"),
        (replace(PHOTOS, closeness=near(0.87)), "head", "partial", "≈345 more per label"),
        (replace(INTENTS, closeness=near(0.8)), "head", "lora", "nothing more"),
        (replace(PROFILE, closeness=near(0.99)), "head", "lora", "too little to gain"),
    ],
)
def test_readiness_tells_what_the_next_method_needs(
    profile: Profile, method_now: str | None, next_method: str, needs: str
) -> None:
    found = readiness((*METHODS, *DEEP), profile)
    assert (found.method_now, found.next_method) == (method_now, next_method)
    assert needs in found.needs


@pytest.mark.parametrize("accuracy", [0.8, 0.88, 0.93])
@pytest.mark.parametrize("kind", [INTENTS, PROFILE, PHOTOS, SEVERAL])
@pytest.mark.parametrize("per_label", [10, 50, 130, 360, 1_000])
def test_what_readiness_says_is_ready_is_what_the_plan_takes_next(
    kind: Profile, per_label: int, accuracy: float
) -> None:
    sizes = {"min_per_label": per_label, "max_per_label": per_label, "median_per_label": float(per_label)}
    profile = replace(kind, samples=per_label * kind.labels, closeness=near(accuracy), **sizes)
    found, made = readiness((*METHODS, *DEEP), profile), plan((*METHODS, *DEEP), profile, Budget(), "auto")
    assert made.next == (found.next_method if found.needs == "nothing more" else None)


@pytest.mark.parametrize(
    ("profile", "needs"), [(PROFILE, "switched off"), (FEW, "≈42 more per label; switched off"), (NAMES, "4 more")]
)
def test_what_is_switched_off_is_not_said_to_need_samples_alone(profile: Profile, needs: str) -> None:
    assert needs in readiness((*METHODS, replace(LORA, skipped="switched off")), profile).needs


def test_what_more_samples_would_mend_is_not_told_besides() -> None:
    few = Profile(6, 2, 3, 3, 384, median_per_label=3.0)
    needs = readiness((*METHODS, LoraMethod()), few).needs
    assert needs.endswith("more per label"), needs


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"samples": 200_000}, "200000 samples, of at most 100000"),
        ({"min_per_label": 1, "named": False}, "a label with 1 samples"),
    ],
)
def test_what_keeps_the_head_out_is_told_as_it_is(changes: dict[str, Any], why: str) -> None:
    profile = replace(PROFILE, **{"declared": 4, "named": True, **changes})
    found = readiness(METHODS, profile)
    assert (found.method_now, found.next_method) == ("zero_shot", "head")
    assert why in found.needs
    made = plan(METHODS, profile, Budget(), "auto")
    assert made.chosen == "zero_shot" and why in made.reasons[0]
    assert not any("next: the head" in reason for reason in made.reasons)


@pytest.mark.parametrize(
    ("changes", "code", "detail"),
    [
        ({"labels": 1}, "too_few_labels", "1 labels with samples, need 2"),
        ({"labels": 0, "samples": 0}, "too_few_labels", "0 labels"),
        ({"min_per_label": 1}, "too_few_samples", "a label has 1 samples, need 2 of each"),
        ({"labels": 1_200}, "too_many_labels", "1200 labels, at most 1000"),
        ({"samples": 200_000}, "too_many_samples", "200000 samples, at most 100000"),
    ],
)
@pytest.mark.parametrize("wanted", ["auto", "head"])
def test_what_cannot_run_says_what_is_there_and_what_is_needed(
    changes: dict[str, Any], code: str, detail: str, wanted: str
) -> None:
    with pytest.raises(Invalid) as raised:
        plan(METHODS, replace(PROFILE, **changes), Budget(), "auto" if wanted == "auto" else "head")
    assert raised.value.reason == code
    assert detail in raised.value.detail
    assert raised.value.fix
    assert raised.value.issues


@pytest.mark.parametrize(("wanted", "more"), [("lora", 1), ("partial", 5), ("full", 5)])
def test_a_method_that_lacks_samples_says_so_and_one_that_lacks_time_does_not(wanted: MethodName, more: int) -> None:
    few = replace(PROFILE, min_per_label=3, samples=4 * 3, max_per_label=3, median_per_label=3.0)
    with pytest.raises(Invalid) as raised:
        plan(ALL, few, Budget(), wanted)
    assert raised.value.reason == "too_few_samples"
    assert raised.value.detail.startswith(f"{wanted}: a label with 3 samples")
    assert raised.value.fix.startswith(f"add {more} samples of each")
    with pytest.raises(Invalid) as raised:
        plan(ALL, PROFILE, Budget(seconds=0.1), wanted)
    assert raised.value.reason == "method_unavailable"
    assert "budget" in raised.value.fix


def test_a_method_that_is_not_here_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="'lora'") as raised:
        plan(METHODS, PROFILE, Budget(), "lora")
    assert raised.value.reason == "method_unavailable"


def test_a_budget_that_the_least_effort_exceeds_is_told() -> None:
    made = plan(METHODS, replace(PROFILE, samples=100_000, labels=1_000), Budget(seconds=5), "auto")
    assert any("over the budget" in reason for reason in made.reasons)
