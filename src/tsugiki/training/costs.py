"""What training a network costs, estimated from how fast it runs here. All constants of that kind are here.

A block multiplies each token by its weights: as many operations forward as for the gradient of its input, and as many
again for that of its weights. So a training of some blocks costs a share of one of them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsugiki.data.folds import ENOUGH_GROUPS
from tsugiki.domain import Budget, Modality, Rates, Verdict
from tsugiki.training.batches import BATCH_TOKENS, batch_rows
from tsugiki.training.degenerate import skip_reason
from tsugiki.training.shelf import HELD_BYTES

if TYPE_CHECKING:
    from tsugiki.domain import Profile
    from tsugiki.training.recipe import Recipe

FORWARD, BACKWARD, WEIGHTS = 1.0, 1.0, 1.0  # of a block's operations, each
LOOKS_SHARE = 0.15  # of the time, to look at held-out samples: a fifth of them, forward only
ENGINE_S = 2.0  # to make a serving engine over changed weights; 1 to 3 s for MiniLM
# What a first training loads: its libraries, the graph with places for matrices. With this and what follows `lora` in
# all blocks of MiniLM is told to need 575 MiB for 16 texts of 16 tokens, 839 for 48 of 32, 1,412 for 64 of 64, 1,700
# for 16 of 256. Its process grew by 544, 670, 910 and 1,104 in bfloat16, and by 1,323 for 64 of 64 in float32.
LOADED_BYTES = 256 << 20
ATTENTIVE_TOKENS = 528  # of a text at which attention keeps as much as all else of a block: at 256 it kept half as much
OPTIMISER_BYTES = 16  # a trained number: itself in float32, its gradient, two moments
MOST_KEPT_BYTES = 1 << 29  # of lower blocks' results: 45,000 texts of 16 tokens at 384 bfloat16; beyond, computed anew

VIEWS = 2  # of a picture that lower blocks' results are kept of: as it is, and as in a mirror
VIEW_BYTES = 2 * 7 * 7 * 192  # of EfficientNet-Lite0: what enters its upper fourth, in bfloat16

ENOUGH_SECONDS = 900.0  # that all trainings may take by the estimate where no budget says otherwise
# Where samples are so few that only all of them, held out in turn, can show a gain: of flowers5, 500 samples, a fifth
# was held out for want of time, and 1.5 points more on a hundred are nothing that a gate could tell from chance.
PATIENT_SECONDS = 3_600.0
TRAININGS, LEAST_TRAININGS = 6, 2  # five folds and all samples; one to prove and one to serve
LEAST_PART = 0.3  # of one training: with less, its rate falls before it has done anything
LEAST_SECONDS = 10.0  # an engine, a network and a head are made whatever the budget


@dataclass(frozen=True, slots=True)
class Typical:
    """What is reckoned with before a network is loaded: of the one that projects get where they name none.

    `tokens` of an input (see Prepared), `width` of the network, its `blocks`, all its `weights`, and the numbers that
    all blocks keep of a token for the gradient. `row_bytes` are held of each input. `rates` until they are measured on
    the machine.
    """

    tokens: int
    blocks: int
    width: int
    weights: float
    activations: float
    row_bytes: int
    rates: Rates


# Texts: between intents (14 tokens) and reviews (30) of the measuring sets; MiniLM, two threads of a shared server with
# AVX-512 BF16. Activations of transformers: 22 numbers a token, block and dimension, and those of attention, see
# ATTENTIVE_TOKENS. Pictures: EfficientNet-Lite0, each of 32 tokens. Sounds: Whisper's encoder, 50 positions a second.
TYPICAL: Mapping[Modality, Typical] = {
    "text": Typical(24, 6, 384, 22.6e6, 22 * 6 * 384, 24 * 8, Rates(10_800.0, 3_600.0, measured=False)),
    "image": Typical(32, 16, 1_280, 3.4e6, 210e3, 224 * 224 * 3, Rates(1_400.0, 250.0, measured=False)),
    "audio": Typical(75, 4, 384, 8.2e6, 40 * 4 * 384, 2 * 75 * 80 * 4, Rates(17_000.0, 5_700.0, measured=False)),
}


@dataclass(frozen=True, slots=True)
class Size:
    """`tokens` of all samples together; `share` of the blocks that is trained.

    `kept`: the outputs of the blocks below are stored, not computed anew in each pass; `views`: of how many variants of
    each sample, 0 if only of the sample itself. `weights_too`: weights get gradients of their own, not LoRA's matrices
    alone.
    """

    tokens: float
    share: float
    kept: bool
    weights_too: bool
    views: int = 0


def allowed_seconds(budget: Budget, samples: int) -> float:
    """That all trainings may take."""
    if budget.seconds is not None:
        return budget.seconds
    return PATIENT_SECONDS if samples < ENOUGH_GROUPS else ENOUGH_SECONDS


def epoch_seconds(size: Size, rates: Rates) -> float:
    """One pass of training over all samples."""
    work = size.share * (FORWARD + BACKWARD + (WEIGHTS if size.weights_too else 0.0))
    if not size.kept:
        work += (1.0 - size.share) * FORWARD
    return (1.0 + LOOKS_SHARE) * size.tokens * work / (FORWARD + BACKWARD + WEIGHTS) / rates.backward


def views_seconds(size: Size, rates: Rates) -> float:
    """What is kept of lower blocks, where that is more than one pass; once for all trainings."""
    return size.views * size.tokens * FORWARD / (FORWARD + BACKWARD + WEIGHTS) / rates.backward


def features_seconds(size: Size, rates: Rates) -> float:
    """One pass of the whole network over all samples by the serving engine."""
    return ENGINE_S + size.tokens / rates.forward


def blocks_in(profile: Profile) -> int:
    """As the network tells, or as many as are usual."""
    return profile.blocks or TYPICAL[profile.modality].blocks


def assess_deep(
    recipe: Recipe, profile: Profile, budget: Budget, top_blocks: int | None, numbers: float | None = None
) -> Verdict:
    """The verdict on a method that trains `top_blocks` (None: all of the network), from sizes and rates alone.

    `numbers` are those that it trains, where they are not the blocks' own weights.
    """
    typical = TYPICAL[profile.modality]
    share = 1.0 if top_blocks is None else min(top_blocks, blocks_in(profile)) / blocks_in(profile)
    tokens = profile.samples * (profile.mean_tokens or typical.tokens)
    is_picture = profile.modality == "image"
    kept = share < 1.0 and not (is_picture and VIEWS * profile.samples * VIEW_BYTES > MOST_KEPT_BYTES)
    size = Size(tokens, share, kept, recipe.weights_too, VIEWS if kept and is_picture else 0)
    rates = profile.rates or typical.rates
    one_s = recipe.epochs * epoch_seconds(size, rates) + features_seconds(size, rates)
    enough_s = allowed_seconds(Budget(), profile.samples)
    seconds = one_s * min(TRAININGS, max(LEAST_TRAININGS, int(enough_s / one_s))) + views_seconds(size, rates)
    if budget.seconds is not None:
        seconds = min(seconds, max(budget.seconds, LEAST_SECONDS))
    skipped = skip_reason(profile, recipe.fewest_per_label)
    if skipped is None and budget.seconds is not None and budget.seconds < (least := LEAST_PART * one_s + ENGINE_S):
        skipped = f"a budget of {budget.seconds:g} s, of at least {least:.0f} s needed"
    return Verdict(recipe.name, seconds, _peak_bytes(size, profile, numbers), skipped)


def _peak_bytes(size: Size, profile: Profile, numbers: float | None) -> int:
    """Beyond the service: the network in training and beside it the engine that answers for it."""
    typical = TYPICAL[profile.modality]
    wider = (profile.width / typical.width) if profile.modality == "text" else 1.0
    deeper = blocks_in(profile) / typical.blocks
    weights = typical.weights * wider**2 * deeper
    longest = profile.max_tokens or typical.tokens
    kept = 4 * typical.activations * wider * deeper * size.share
    if profile.modality == "text":
        batch = min(BATCH_TOKENS, profile.samples * longest)
        kept *= 1.0 + longest / ATTENTIVE_TOKENS
    else:
        batch = batch_rows(pictures=profile.modality == "image") * typical.tokens
    below = min(MOST_KEPT_BYTES, 2 * size.tokens * profile.width) if size.kept else 0
    if size.views:
        below = size.views * profile.samples * VIEW_BYTES
    trained = weights * size.share if numbers is None else numbers
    rows = min(HELD_BYTES, profile.samples * typical.row_bytes)
    return int(LOADED_BYTES + 3 * 4 * weights + OPTIMISER_BYTES * trained + kept * batch + below + rows)
