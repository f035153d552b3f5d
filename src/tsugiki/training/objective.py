"""What a training of the network minimises: which, is told by how many samples and labels there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tsugiki.training.batches import BATCH_TOKENS, PAIRED_ROWS
from tsugiki.training.blending import NAMED_BELOW
from tsugiki.training.costs import TYPICAL

if TYPE_CHECKING:
    from tsugiki.domain import Modality, Profile, TrainingSet

# The cross-entropy of a head that learns along; what pairs of samples are apart (see pairs.py); which samples are
# of one label, among some of all (see contrast.py).
Objective = Literal["labels", "pairs", "contrast"]

# Samples up to which few labels are learnt by pairs, in all blocks. Measured on rows of training parts not trained on,
# beside the frozen head. With 64 a label, in batches of PAIRED_ROWS with all labels in each, eight epochs: cr +4.2
# (three draws, 1.4 to 5.8), sst5 +6.0 (two), amazon_cf_en +11.4 (two; Matthews x 100: +22.6), ag_news +1.2, sms_spam
# -1.2 of 97.0 (one each; half of it served: +1.6 and -0.1). By contrast instead +3.9 on sst5 where pairs had +5.4, no
# other on amazon_cf_en; by labels +0.8 on cr where pairs had +5.5; full at 5e-5 by pairs +4.6 there, +10.0 where lora
# had +11.8 on amazon_cf_en; dropout of 0.1 +1.1 for +1.4 on cr, +5.2 for +6.6 on sst5. On test rows, 64 a label:
# amazon_cf_en +7.9, +13.4 and +10.6 (Matthews x 100: from 45.5 to 66.5 in the mean), cr +0.9, +2.8 and +4.1; a gate let
# all through but the first of cr. With 256 a label, cr, one draw: +1.4, by labels -1.4.
# With more, one draw of each, judged on 720 to 2,000 other rows, every head at its best strength, beside `full` by
# labels, which takes about as long and is served as a network of its own. Eight epochs: cr, 1,400 samples, +5.6 (`full`
# +4.2); sst5, 2,000, +6.2 (+2.4); ag_news, 2,000, +0.5; amazon_cf_en, 2,000, +3.9 (+4.7). Four: sst5, 2,000, +7.6
# (+2.0); cr, 2,292, +3.9 (+3.5); amazon_cf_en, 3,000, +4.8 (+4.7; Matthews x 100: +18.1 and +17.3); sst5, 5,000, +3.1
# (+1.7), 6,800, +3.8 (+2.0).
# Of more labels it harms: see FEWEST_CONTRASTED.
# With 8 a label, all in one step, five draws: amazon_cf_en +8.2 (Matthews x 100), ag_news +3.1, cr +3.0, sst5 -0.1,
# their mean 3.6 with a standard error of 0.7; with names heard 4.6; elsewhere, eight draws: sms_spam -0.7 (error 0.4);
# of 2 to 6 intents that are alike, hwu64 +1.8, clinc150 +0.7, banking77 -0.5 (errors 1.5).
MOST_PAIRED = 7_000

# Labels from which on, and samples of each up to which, contrast is learnt by. Measured with 10 of each, on rows of
# training parts not trained on, beside the head on the frozen network, names heard by both: banking77 (77 labels) +1.0
# (five draws, error 0.25), hwu64 +1.2 (three, 0.25), clinc150 (150) +0.2 (one, 0.4). On test rows, from the samples
# that others take: banking77 +0.1, hwu64 +0.6 (errors 0.3 and 0.6). On two draws of banking77: in the upper half of the
# blocks +0.7, with cross-entropy besides no other; served whole and not by a part -0.2; whole by a lower rate +0.8;
# batches of 385 for eight epochs +0.7; by pairs +0.2 of that part, whole -2.3; by labels -0.4 and -1.8. Names among the
# samples, and labels that are alike beside one another, gave nothing more.
# Of fewer labels, the first of each set, 10 of each, no names, every head at its best strength: 20 of banking77 +0.7
# and +0.2, by pairs -2.4 and -3.8; 20 of hwu64 +0.9 and +1.1, by pairs +0.6 and -0.5; 12 of either +0.1 and +0.8, by
# pairs -2.3 and -0.2; 8 of either -0.1 and +0.5, by pairs -1.8 and -0.8. With 50 of each: 20 of banking77 +0.5, by
# pairs -1.2; 20 of hwu64 +1.3 and +0.6, by pairs -0.9. 25 of banking77, 60 of each: by pairs -1.7, `full` by labels
# +0.5. All of banking77, 100 of each: 0.0.
FEWEST_CONTRASTED = 8


def objective_of(modality: Modality, data: TrainingSet) -> Objective:
    """Pairs, where texts of one label each, and labels, are few; contrast, where labels are many, texts of each few."""
    mean_tokens = sum(row.size for row in data.rows) / max(len(data.rows), 1)
    several = data.combinations is not None
    return _objective(modality, len(data.rows), len(data.labels), mean_tokens, several=several)


def expected_objective(profile: Profile) -> Objective:
    """The same before the samples are read."""
    mean_tokens = profile.mean_tokens or TYPICAL[profile.modality].tokens
    several = profile.task == "multi_label"
    return _objective(profile.modality, profile.samples, profile.labels, mean_tokens, several=several)


def _objective(modality: Modality, samples: int, labels: int, mean_tokens: float, *, several: bool) -> Objective:
    if modality != "text" or several:
        return "labels"
    if labels >= FEWEST_CONTRASTED:
        return "contrast" if samples < NAMED_BELOW * labels else "labels"
    beside = min(samples, PAIRED_ROWS)  # one another in a step, if they are not too long for that
    return "pairs" if samples <= MOST_PAIRED and beside * mean_tokens <= BATCH_TOKENS else "labels"
