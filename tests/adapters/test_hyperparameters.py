"""What may be set of each method, and what may not."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import pytest

from adapters import METHODS
from adapters.head import HeadMethod
from adapters.lora import LoraMethod
from adapters.selection import plan
from adapters.zero_shot import ZeroShotMethod
from tests.adapters.lessons import Told, trainable, training_set
from tsugiki.backbones import Loaded
from tsugiki.domain import Budget, LoraDelta, Profile
from tsugiki.errors import Invalid
from tsugiki.jobs.deep_lane import Untrained
from tsugiki.ports import Method
from tsugiki.training.hyperparameters import offered, tuned, used

PROFILE = Profile(samples=1_000, labels=4, min_per_label=200, max_per_label=300, dim=384)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_field_of_a_method_may_be_set_and_its_own_value_is_allowed(method: Method) -> None:
    takes = offered(method)
    assert list(takes) == [field.name for field in fields(cast(Any, method))]
    assert all(one.allows(used(method)[name]) and one.meaning for name, one in takes.items())
    assert tuned(method, used(method)) == method


@pytest.mark.parametrize(
    ("method", "given", "pointer", "told"),
    [
        (LoraMethod(), {"rank": 0}, "/rank", "0 was given, expected a whole number from 1 to 64"),
        (LoraMethod(), {"rank": 4.5}, "/rank", "4.5 was given"),
        (LoraMethod(), {"rank": True}, "/rank", "True was given"),
        (LoraMethod(), {"rank": "4"}, "/rank", "'4' was given"),
        (LoraMethod(), {"rank": None}, "/rank", "None was given"),
        (LoraMethod(), {"targets": "heads"}, "/targets", "expected attention or all"),
        (LoraMethod(), {"targets": ["all"]}, "/targets", "expected attention or all"),
        (LoraMethod(), {"epochs": float("inf")}, "/epochs", "inf was given"),
        (LoraMethod(), {"l2": 1.0}, "/l2", "method lora has none of this name"),
        (LoraMethod(), {"a/b" * 99: 1}, "/a~1b", "none of this name"),
        (HeadMethod(), {"rank": 4}, "/rank", "method head has none"),
        (ZeroShotMethod(), {"l2": 1.0}, "/l2", "method zero_shot has none"),
        (ZeroShotMethod(), {"seed": 2**32}, "/seed", "4294967296 was given"),
    ],
)
def test_what_a_method_does_not_take_is_refused(
    method: Method, given: dict[str, object], pointer: str, told: str
) -> None:
    with pytest.raises(Invalid) as raised:
        tuned(method, given)
    (issue,) = raised.value.issues
    assert raised.value.reason == "hyperparameter_invalid"
    assert issue.pointer.startswith(f"/hyperparameters{pointer}") and len(issue.pointer) < 150
    assert told in issue.detail and issue.fix


def test_what_is_not_given_stays_as_it_was() -> None:
    found = tuned(LoraMethod(), {"rank": 4, "top_blocks": None, "epochs": 2, "seed": 3})
    assert found == LoraMethod(rank=4, top_blocks=None, epochs=2)
    around = tuned(Untrained(LoraMethod()), {"rank": 4})
    assert around == Untrained(LoraMethod(rank=4))


def test_a_plan_follows_what_was_given_of_the_wanted_method() -> None:
    usual = {one.method: one for one in plan(METHODS, PROFILE, Budget(), "lora").candidates}
    given = {"rank": 64, "epochs": 16}
    asked = {one.method: one for one in plan(METHODS, PROFILE, Budget(), "lora", given).candidates}
    assert asked["lora"].seconds > usual["lora"].seconds
    assert asked["lora"].peak_bytes > usual["lora"].peak_bytes
    for name in ("head", "partial", "full"):
        assert asked[name] == usual[name]


def test_auto_takes_the_seed_alone() -> None:
    assert plan(METHODS, PROFILE, Budget(), "auto", {"seed": 4}).chosen == "head"
    with pytest.raises(Invalid, match="only what every method does") as raised:
        plan(METHODS, PROFILE, Budget(), "auto", {"epochs": 4})
    assert "seed" in raised.value.fix


def test_what_was_given_is_trained_with_and_told(tiny: Loaded) -> None:
    backbone = trainable(tiny)
    wanted = {"rank": 3, "epochs": 1, "targets": "attention", "top_blocks": 1}
    graft = tuned(LoraMethod(), wanted).fit(backbone, training_set(backbone, [9, 9]), Budget(), Told()).graft
    assert isinstance(graft.delta, LoraDelta) and graft.delta.rank == 3
    assert all(".attention." in name for name in graft.delta.modules)
    assert graft.details.items() >= wanted.items()
