"""What a training of the network minimises: which, is told by how many samples there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tsugiki.training.batches import BATCH_TOKENS
from tsugiki.training.costs import TYPICAL

if TYPE_CHECKING:
    from tsugiki.domain import Modality, Profile, TrainingSet

# The cross-entropy of a head that learns along, or what all pairs of samples are apart (see pairs.py).
Objective = Literal["labels", "pairs"]

# Samples; measured with 16 to 48, 8 a label, on rows of training parts not trained on, beside the frozen head.
# Five draws, all blocks by pairs: amazon_cf_en +8.2 (Matthews x 100), ag_news +3.1, cr +3.0, sst5 -0.1, their mean 3.6
# with a standard error of 0.7; with names heard 4.6. Three draws of cr, sst5 and amazon_cf_en: by labels in all blocks
# +2.3, in the upper half +0.6, errors above 1.5. By pairs elsewhere, eight draws: sms_spam -0.7 (error 0.4); of 2 to 6
# intents that are alike, hwu64 +1.8, clinc150 +0.7, banking77 -0.5 (errors 1.5).
MOST_PAIRED = 64


def objective_of(modality: Modality, data: TrainingSet) -> Objective:
    """Pairs, where texts of one label each are so few that a step sees all of them, each beside every other."""
    longest = max((row.size for row in data.rows), default=0)
    return _objective(modality, len(data.rows), longest, several=data.combinations is not None)


def expected_objective(profile: Profile) -> Objective:
    """The same before the samples are read."""
    longest = profile.max_tokens or TYPICAL[profile.modality].tokens
    return _objective(profile.modality, profile.samples, longest, several=profile.task == "multi_label")


def _objective(modality: Modality, samples: int, longest: int, *, several: bool) -> Objective:
    few = samples <= MOST_PAIRED and samples * longest <= BATCH_TOKENS
    return "pairs" if few and modality == "text" and not several else "labels"
