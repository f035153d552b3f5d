"""What is told of a sample: one label, or a set of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from .words import MIN_PER_LABEL

# What is told of a sample is one text. In a multi_label project that is its set of labels: each as JSON on a line of
# its own, between line ends. No label begins with one, nor does JSON hold one, so a set is never taken for a label, and
# the database finds a label in a set as a text in a text.
LINE = "\n"


def tell_labels(labels: Iterable[str]) -> str:
    r"""A set of labels, perhaps empty, as one text: equal sets are equal texts. `{"b", "a"} -> '\n"a"\n"b"\n'`"""
    return LINE + "".join(json.dumps(label, ensure_ascii=False) + LINE for label in sorted(set(labels)))


def told_labels(told: str) -> tuple[str, ...]:
    """The labels in what is told of a sample: of a set its members in order, else the label itself."""
    return tuple(json.loads(line) for line in told.split(LINE)[1:-1]) if told.startswith(LINE) else (told,)


def usable_labels(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Of samples counted by what is told of them: the labels that some have and some have not, MIN_PER_LABEL of each.

    Only where sets are told; of these a label that fails is left out, for it cannot be told from the others.
    """
    having: Counter[str] = Counter()
    for told, count in counts.items():
        having.update(dict.fromkeys(told_labels(told), count))
    most = sum(counts.values()) - MIN_PER_LABEL
    return tuple(sorted(label for label, count in having.items() if MIN_PER_LABEL <= count <= most))
