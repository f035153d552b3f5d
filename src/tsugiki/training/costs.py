"""What training a network costs, estimated from sizes. All constants of that kind are here.

A block of a transformer multiplies each token by 12 dim^2 weights: 24 dim^2 operations forward, as many for the
gradient of its input, and as many again for that of its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsugiki.domain import Verdict
from tsugiki.training.batches import BATCH_TOKENS
from tsugiki.training.degenerate import skip_reason

if TYPE_CHECKING:
    from tsugiki.domain import Budget, Profile
    from tsugiki.training.recipe import Recipe

# Measured with MiniLM (dim 384, 6 blocks), texts of 16 tokens in batches of 32 alike in length, two threads of a shared
# server with AVX-512 BF16: LoRA on all linear layers 158 to 175 samples/s, everything trained 140 to 176.
FLOPS_PER_SECOND = 1e11
FORWARD, BACKWARD, WEIGHTS = 1.0, 1.0, 1.0  # of a block's operations, each
LOOKS_SHARE = 0.15  # of the time, to look at held-out samples: a fifth of them, forward only
TYPICAL_TOKENS = (
    24  # of a sample whose length is not known: between intents (14) and reviews (30) of the measuring sets
)
TYPICAL_BLOCKS = 6  # of a network known by its dim only; MiniLM's
EMBEDDINGS = 31_000  # tokens of a vocabulary, ditto
ENGINE_S = 2.0  # to make a serving engine over changed weights; 1 to 3 s for MiniLM
OPTIMISER_BYTES = 16  # a trained number: itself in float32, its gradient, two moments
ACTIVATION_NUMBERS = (
    40  # a token, block and dimension, kept for the gradient; 34 by Korthikanti et al. 2022, and copies
)


MOST_KEPT_BYTES = 1 << 29  # of lower blocks' results: 45,000 texts of 16 tokens at 384 bfloat16; beyond, computed anew

ENOUGH_SECONDS = 900.0  # that all trainings may take by the estimate where no budget says otherwise
TRAININGS, LEAST_TRAININGS = 6, 2  # five folds and all samples; one to prove and one to serve
LEAST_PART = 0.3  # of one training: with less, its rate falls before it has done anything
LEAST_SECONDS = 10.0  # an engine, a network and a head are made whatever the budget


@dataclass(frozen=True, slots=True)
class Size:
    """`tokens` of all samples together, `trained` of `blocks`; `weights_too`: their own gradients, not LoRA's alone."""

    tokens: int
    dim: int
    blocks: int
    trained: int
    weights_too: bool

    @property
    def block_numbers(self) -> int:
        return 12 * self.dim**2


def epoch_seconds(size: Size) -> float:
    """One pass of training over all samples; the blocks below are cached."""
    work = FORWARD + BACKWARD + (WEIGHTS if size.weights_too else 0.0)
    return (1.0 + LOOKS_SHARE) * work * size.tokens * size.trained * 2.0 * size.block_numbers / FLOPS_PER_SECOND


def features_seconds(size: Size) -> float:
    """One pass of the whole network over all samples by the serving engine."""
    return ENGINE_S + size.tokens * size.blocks * 2.0 * size.block_numbers / FLOPS_PER_SECOND


def peak_bytes(size: Size, trained_numbers: int) -> int:
    """Beyond the service: the network in training and beside it the engine that answers for it."""
    network = 4 * (size.blocks * size.block_numbers + EMBEDDINGS * size.dim)
    activations = 4 * ACTIVATION_NUMBERS * BATCH_TOKENS * size.trained * size.dim
    below = 0 if size.trained == size.blocks else min(MOST_KEPT_BYTES, 2 * size.tokens * size.dim)
    return 3 * network + OPTIMISER_BYTES * trained_numbers + activations + below


def assess_deep(recipe: Recipe, profile: Profile, budget: Budget, trained: int, numbers: int) -> Verdict:
    """The verdict on a method that trains `numbers` in `trained` blocks, from sizes alone."""
    size = Size(profile.samples * TYPICAL_TOKENS, profile.width, TYPICAL_BLOCKS, trained, recipe.weights_too)
    one_s = recipe.epochs * epoch_seconds(size) + features_seconds(size)
    seconds = one_s * min(TRAININGS, max(LEAST_TRAININGS, int(ENOUGH_SECONDS / one_s)))
    if budget.seconds is not None:
        seconds = min(seconds, max(budget.seconds, LEAST_SECONDS))
    skipped = skip_reason(profile, recipe.fewest_per_label)
    if skipped is None and budget.seconds is not None and budget.seconds < (least := LEAST_PART * one_s + ENGINE_S):
        skipped = f"a budget of {budget.seconds:g} s, of at least {least:.0f} s needed"
    return Verdict(recipe.name, seconds, peak_bytes(size, numbers), skipped)
