"""What is reckoned before a network is loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.lora import LoraMethod
from adapters.partial import PartialMethod
from tsugiki.domain import Budget, Profile, Rates, Verdict
from tsugiki.training.costs import LOOKS_SHARE

# So many that a training takes hours: two of them are made then, of whatever the blocks.
MANY = Profile(
    samples=500_000,
    labels=4,
    min_per_label=100_000,
    max_per_label=150_000,
    dim=768,
    widths=(384, 384),
    mean_tokens=20.0,
    rates=Rates(5_000.0, 1_500.0, measured=True),
)


def test_a_network_of_more_blocks_trains_a_smaller_part_of_itself_in_as_many() -> None:
    assert MANY.rates is not None and MANY.mean_tokens is not None
    six, twelve = (PartialMethod(top_blocks=2, epochs=1).assess(replace(MANY, blocks=n), Budget()) for n in (6, 12))
    looks = 2 * (2.0 + MANY.samples * MANY.mean_tokens / MANY.rates.forward)
    assert six.seconds - looks == pytest.approx(2 * (twelve.seconds - looks))
    assert (1 + LOOKS_SHARE) * MANY.samples * MANY.mean_tokens / 1_500.0 / 3 * 2 == pytest.approx(six.seconds - looks)


@pytest.mark.parametrize("method", [LoraMethod(), PartialMethod()])
def test_a_network_that_does_not_tell_is_taken_for_the_usual_one(method: LoraMethod | PartialMethod) -> None:
    assert method.assess(MANY, Budget()) == method.assess(replace(MANY, blocks=6), Budget())
    assert method.assess(MANY, Budget()).peak_bytes < method.assess(replace(MANY, blocks=12), Budget()).peak_bytes


def test_few_short_texts_need_less_memory_than_fill_a_batch() -> None:
    few = replace(MANY, samples=16, labels=2, min_per_label=8, max_per_label=8, mean_tokens=16.0, max_tokens=16)
    longer, more = replace(few, max_tokens=64), replace(few, samples=64, min_per_label=32, max_per_label=32)
    method = LoraMethod(top_blocks=6)
    least = method.assess(few, Budget()).peak_bytes
    assert least < method.assess(longer, Budget()).peak_bytes
    assert least < method.assess(more, Budget()).peak_bytes
    # A batch is full then, but attention is between all the tokens of a text.
    full, attentive = (
        method.assess(replace(few, samples=samples, max_tokens=tokens), Budget()).peak_bytes
        for samples, tokens in ((64, 64), (16, 256))
    )
    assert full < attentive


def test_of_few_pictures_lower_blocks_are_run_once_and_of_many_each_time() -> None:
    slow = Rates(500.0, 150.0, measured=True)  # so that two trainings are made of each
    pictures = replace(MANY, widths=(1_280, 192), mean_tokens=32.0, max_tokens=32, modality="image", rates=slow)

    def assess(samples: int) -> Verdict:
        return PartialMethod().assess(replace(pictures, samples=samples), Budget())

    kept, many = assess(14_000), assess(14_500)
    assert kept.peak_bytes > many.peak_bytes
    assert many.seconds / 14_500 > 1.2 * kept.seconds / 14_000


def test_a_plan_of_few_samples_reckons_with_as_many_trainings_as_prove_a_gain() -> None:
    few = replace(MANY, samples=999, min_per_label=200, max_per_label=300, rates=Rates(500.0, 100.0, measured=True))
    more = replace(few, samples=1_001)
    assert PartialMethod().assess(few, Budget()).seconds > 1.9 * PartialMethod().assess(more, Budget()).seconds


def test_of_pictures_a_fourth_of_the_blocks_learns_unless_more_are_asked_for() -> None:
    pictures = replace(MANY, widths=(1_280, 192), mean_tokens=32.0, max_tokens=32, modality="image", blocks=16)
    usual, four, eight = (PartialMethod(top_blocks=n).assess(pictures, Budget()) for n in (None, 4, 8))
    assert usual == four
    assert eight.seconds > four.seconds
