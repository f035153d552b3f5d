"""What a training of the network minimises: which, is told by how many samples and labels there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tsugiki.training.batches import BATCH_TOKENS
from tsugiki.training.blending import NAMED_BELOW
from tsugiki.training.costs import TYPICAL

if TYPE_CHECKING:
    from tsugiki.domain import Modality, Profile, TrainingSet

# The cross-entropy of a head that learns along; what all pairs of samples are apart (see pairs.py); which samples are
# of one label, among some of all (see contrast.py).
Objective = Literal["labels", "pairs", "contrast"]

# Samples by pairs; measured with 16 to 48, 8 a label, on rows of training parts not trained on, beside the frozen head.
# Five draws, all blocks by pairs: amazon_cf_en +8.2 (Matthews x 100), ag_news +3.1, cr +3.0, sst5 -0.1, their mean 3.6
# with a standard error of 0.7; with names heard 4.6. Three draws of cr, sst5 and amazon_cf_en: by labels in all blocks
# +2.3, in the upper half +0.6, errors above 1.5. By pairs elsewhere, eight draws: sms_spam -0.7 (error 0.4); of 2 to 6
# intents that are alike, hwu64 +1.8, clinc150 +0.7, banking77 -0.5 (errors 1.5).
MOST_PAIRED = 64

# Labels from which on, and samples of each up to which, contrast is learnt by. Measured with 10 of each, on rows of
# training parts not trained on, beside the head on the frozen network, names heard by both: banking77 (77 labels) +1.0
# (five draws, error 0.25), hwu64 +1.2 (three, 0.25), clinc150 (150) +0.2 (one, 0.4). On test rows, from the samples
# that others take: banking77 +0.1, hwu64 +0.6 (errors 0.3 and 0.6). On two draws of banking77: in the upper half of the
# blocks +0.7, with cross-entropy besides no other; served whole and not by a part -0.2; whole by a lower rate +0.8;
# batches of 385 for eight epochs +0.7; by pairs +0.2 of that part, whole -2.3; by labels -0.4 and -1.8. Names among the
# samples, and labels that are alike beside one another, gave nothing more. Nothing was measured between these sizes and
# those of pairs.
FEWEST_CONTRASTED = 32
FEW_A_LABEL = NAMED_BELOW


def objective_of(modality: Modality, data: TrainingSet) -> Objective:
    """Pairs, where texts of one label each are so few that a step sees all of them, each beside every other.

    Contrast, where labels are many and texts of each few.
    """
    tokens = sum(row.size for row in data.rows)
    several = data.combinations is not None
    return _objective(modality, len(data.rows), len(data.labels), tokens, several=several)


def expected_objective(profile: Profile) -> Objective:
    """The same before the samples are read."""
    tokens = profile.samples * (profile.mean_tokens or TYPICAL[profile.modality].tokens)
    several = profile.task == "multi_label"
    return _objective(profile.modality, profile.samples, profile.labels, tokens, several=several)


def _objective(modality: Modality, samples: int, labels: int, tokens: float, *, several: bool) -> Objective:
    if modality != "text" or several:
        return "labels"
    if samples <= MOST_PAIRED and tokens <= BATCH_TOKENS:
        return "pairs"
    return "contrast" if labels >= FEWEST_CONTRASTED and samples < FEW_A_LABEL * labels else "labels"
