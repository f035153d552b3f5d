"""What fine-tuning may be expected to add to a head, from what it added on sets measured before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tsugiki.domain import Closeness, MethodName, Modality
from tsugiki.training.objective import Objective

WORTH = 0.01  # accuracy: a point is what a gate can tell from nothing on a thousand held-out samples
# Of two methods the cheaper one is taken if it is thought to lack no more. Half a point was too much: on amazon_cf_en,
# all samples, the top two blocks were taken for alike to all of them, which had 0.4 points more on a fold of its
# training part (Matthews x 100: 79.3 for 78.1, the head 62.5), for minutes more of a trainer that gives way to all.
ALIKE = 0.0025


class Gain(NamedTuple):
    """Of accuracy, as a part of 1, and the ends of what it may be."""

    expected: float
    low: float
    high: float


class _Known(NamedTuple):
    per_label: float
    removed: float  # of the head's errors


# MiniLM, heads on its last and middle block, learning by labels. With 64 of each, cr, amazon_cf_en, sst5, three draws
# each: on held-out rows fine-tuning was better and worse as often. banking77 (130 a label): tuned BERT 93.66
# (published), the head 93.4. Some 1,700 a label, of the head's errors on test rows: cr 22 %, sst5 7 %; here the middle
# of both. The interval reaches from nothing to twice that.
TEXTS = (_Known(1, 0.0), _Known(64, 0.0), _Known(130, 0.04), _Known(1_700, 0.15))
# EfficientNet-Lite0, flowers5 with 100 a label, each of five folds of its training part judged by the others: beside a
# head that errs in 9 %, four runs of the top blocks gained 1.4 and 0.4 points and lost 0.8 and 1.2 (errors 1.0), a
# fifth passed the gate: little or nothing. Log losses fell by 6 to 15 % each time. Beside a head on the last block's
# features alone it was a sixth of the errors: most of what fine-tuning had learnt there the middle block knows. More
# samples were not to be had: as texts.
PICTURES = (_Known(1, 0.0), _Known(10, 0.0), _Known(100, 0.02), TEXTS[-1])
# Nothing was measured where the head left errors (spoken digits: 99.7 %): taken for texts.
KNOWN: Mapping[Modality, tuple[_Known, ...]] = {"text": TEXTS, "image": PICTURES, "audio": TEXTS}
AT_MOST = 2.0
# Of what training all of the network would bring. amazon_cf_en, all samples, Matthews x 100: the head 64.1, the top two
# blocks 78.6, all of it 84.6 by a plain loop. LoRA in the upper half, on a fold of its training part: of the head's
# errors 16 %, where all of the network removed 41.
DEEPER: Mapping[MethodName, float] = {"lora": 0.4, "partial": 0.7, "full": 1.0}
# Of pictures the top blocks are what was measured; that all of it would bring more was not seen, nor LoRA tried.
REACHED: Mapping[Modality, Mapping[MethodName, float]] = {
    "text": DEEPER,
    "image": {"lora": 0.4, "partial": 1.0, "full": 1.0},
    "audio": DEEPER,
}
# Of a head's errors, by `lora` where it learns by contrast: 6.6 % of 15.5 and 7.2 of 16.0, on rows of training parts of
# banking77 and hwu64; see training/objective.py.
CONTRASTED = 0.07
# Of a head's errors, by `lora` where it learns by pairs. With 64 a label: 9 % on sst5 and ag_news, 21 on cr, 45 on
# amazon_cf_en, none on sms_spam, where the head errs in 3 of 100. With 1,400 to 6,800 samples: 6 to 12 % on sst5, 4 on
# ag_news, 29 and 34 on cr, 33 and 42 on amazon_cf_en. On rows of training parts, see training/objective.py.
PAIRED = 0.17
FEWEST_SHOWN = 100  # samples learnt by pairs or contrast; of fewer held out a gate can hardly show what that gains
USUAL_ERROR = 0.12  # of the head with 10 a label: 13.0, 8.0 and 14.3 % on banking77, clinc150 and hwu64


def gain(
    closeness: Closeness,
    per_label: float,
    method: MethodName = "full",
    modality: Modality = "text",
    objective: Objective = "labels",
) -> Gain:
    """What a fine-tuning may add to an accuracy, with `per_label` samples of the median label.

    `objective` is lora's, see training/objective.py.
    """
    error = 1.0 - closeness.accuracy
    removed = _removed(per_label, KNOWN[modality]) * REACHED[modality].get(method, 0.0)
    if method == "lora" and objective != "labels":
        removed = CONTRASTED if objective == "contrast" else PAIRED
    expected = error * removed
    return Gain(expected, 0.0, min(error, AT_MOST * expected))


def cheapest(methods: Sequence[MethodName], gains: Mapping[MethodName, float]) -> MethodName:
    """The first of them, from cheap to dear, that is thought to lack no more than ALIKE of what the best one gains."""
    most = max(gains[method] for method in methods)
    return next(method for method in methods if gains[method] >= most - ALIKE)


class Sufficient(NamedTuple):
    """`method` may be WORTH it from so many samples a label on, to two digits; None if no number is known to do, for
    the cheapest or any other.
    """

    method: MethodName
    per_label: int | None


def sufficient(
    closeness: Closeness | None, methods: Sequence[MethodName], modality: Modality, paired_labels: int | None
) -> Sufficient:
    """The one of `methods`, from cheap to dear, that may pay first as samples come.

    `paired_labels` is how many there are where `lora` would learn by pairs. With more samples the head errs less too;
    that is not reckoned with.
    """
    error = USUAL_ERROR if closeness is None else 1.0 - closeness.accuracy
    if paired_labels is not None and "lora" in methods and error * PAIRED >= WORTH:
        return Sufficient("lora", math.ceil(FEWEST_SHOWN / paired_labels))
    known, reached = KNOWN[modality], REACHED[modality]
    error *= max(reached[method] for method in methods)
    if error * known[-1].removed < WORTH:
        return Sufficient(methods[0], None)
    gains: Mapping[MethodName, float] = {method: WORTH * reached[method] for method in methods}
    method = cheapest(methods, gains)
    wanted = WORTH / error
    fewer, more = next((a, b) for a, b in zip(known, known[1:], strict=False) if wanted <= b.removed)
    part = (wanted - fewer.removed) / (more.removed - fewer.removed)
    exact = fewer.per_label * (more.per_label / fewer.per_label) ** part
    return Sufficient(method, round(exact, 1 - math.floor(math.log10(exact))).__ceil__())


def _removed(per_label: float, known: Sequence[_Known]) -> float:
    """The part of a head's errors, straight in the logarithm between what is known."""
    if per_label >= known[-1].per_label:
        return known[-1].removed
    fewer, more = next((a, b) for a, b in zip(known, known[1:], strict=False) if per_label < b.per_label)
    part = math.log(max(per_label, 1.0) / fewer.per_label) / math.log(more.per_label / fewer.per_label)
    return fewer.removed + part * (more.removed - fewer.removed)
