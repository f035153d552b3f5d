"""Whether evened parts and the names of the labels help: asked of held-out rows at the usual strength, before anything
else is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsugiki.domain import MIN_PER_LABEL
from tsugiki.training.examples import NAME_WEIGHT, NAME_WEIGHTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Modality
    from tsugiki.training.examples import Examples


# With 20 samples a label names still lowered the held-out loss of banking77, clinc150 and hwu64, but no longer changed
# the accuracy on test rows by more than 0.15 points: not worth the passes.
NAMED_BELOW = 20


def hears_names(samples: int, labels: int, min_per_label: int) -> bool:
    """Whether names are worth asking about: few samples a label, or some label with hardly any."""
    return samples < NAMED_BELOW * labels or min_per_label < MIN_PER_LABEL


# Nats by which held-out rows have to be better off with features as they are.
# Texts: with a few dozen rows the two losses differ by less, and that the last and the middle block count alike serves
# better on the whole: 8 a label, 55 draws of training parts, judged on rows not drawn: amazon_cf_en +1.5 (Matthews), cr
# +0.8 points, sms_spam +0.5, sst5 +0.2, ag_news and hint3 0.0; of 2 to 6 intents that are alike, hwu64 -0.1, clinc150
# -0.3, banking77 -0.4. With 0 instead it gains two thirds of that.
# Pictures, whose middle block counts a third as they are, likewise by accuracy beside the last block's features alone.
# 50 a label (12 draws) and four fifths (20) of flowers5's training part: as they are +1.2 and +0.7, with 1 evened +2.1
# and +1.0, with 0 +2.1 and +1.3 (errors 0.3 to 0.5). 10 and 20 a label (20 draws): +0.5 and +0.5; +0.1 and +0.8; +0.3
# and +0.6. Of hymenoptera, 10, 20, 50 a label and four fifths: +0.1, +0.1, -0.2, -0.1; with 1 -0.4, -0.6 and more; with
# 0 +0.1, 0.0, -0.2, -0.2.
EVENED_FOR: Mapping[Modality, float] = {"text": 1.0, "image": 0.0, "audio": 1.0}


class Setting(NamedTuple):
    """`evened`: parts of features are; `name_weight`: how many samples the name of a class counts for."""

    evened: bool
    name_weight: float


@dataclass(frozen=True, slots=True)
class Blend:
    """What the head is fitted with, and, in `blocks`, what scores the rows of each block: by the loss of all others."""

    whole: Setting
    blocks: tuple[Setting, ...]

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All that are in use: one, but where the blocks disagree."""
        return tuple(sorted({self.whole, *self.blocks}))


def blend(
    examples: Examples,
    ways: Sequence[bool],
    blocks: int,
    losses_at: Callable[[Setting], NDArray[np.float64]],
    evened_for: float = 0.0,
) -> Blend:
    """`losses_at` a setting: summed over all held-out rows of each block, (temperatures, blocks).

    `ways`: evened or not, of those that there are; `evened_for`: see EVENED_FOR. Names are weighed in whichever way
    served best, so that not everything is tried with everything.
    """
    first, *further = _weights(examples)
    tables: dict[Setting, NDArray[np.float64]] = {}

    def best(kept: NDArray[np.intp]) -> Setting:
        return min(tables, key=lambda one: tables[one][:, kept].sum(axis=1).min() + (0.0 if one.evened else evened_for))

    every = np.arange(blocks)
    kept = [every, *(np.delete(every, block) for block in range(blocks))]
    settings = [Setting(evened, first) for evened in ways]
    if len(settings) == 1 and not further:
        return Blend(settings[0], (settings[0],) * blocks)
    tables |= {one: losses_at(one) for one in settings}
    for evened in sorted({best(of_block).evened for of_block in kept}):
        tables |= {one: losses_at(one) for one in (Setting(evened, weight) for weight in further)}
    whole, *of_blocks = (best(of_block) for of_block in kept)
    return Blend(whole, tuple(of_blocks))


def _weights(examples: Examples) -> Sequence[float]:
    """Of names, the first one as good a guess as any. A class without rows is known by its name only, so then there is
    nothing to choose; nor is there without names.
    """
    if examples.names is None:
        return (0.0,)
    if np.bincount(examples.targets, minlength=examples.classes).min() == 0:
        return (NAME_WEIGHT,)
    return (NAME_WEIGHT, *(weight for weight in NAME_WEIGHTS if weight != NAME_WEIGHT))
