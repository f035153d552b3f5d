"""Batches of rows alike in length: what is computed is text, not padding."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsugiki.domain import Ints

BATCH_ROWS = 32  # the usual batch of fine-tuning (Devlin et al. 2019 searched 16 and 32)
BATCH_PICTURES = 16  # each keeps 27 MB for the gradient
BATCH_TOKENS = 4_096  # of long rows there are fewer: 8 of 512 tokens, so that memory is bounded
PART_TOKENS = 512  # of such a batch go through the network together, as 32 texts of 16 do: enough for its matrices
PAIRED_ROWS = 32  # beside one another in a step; see objective.py
CONTRASTED_LABELS, ROWS_ALIKE = 32, 4  # likewise labels, and rows of each


def batch_rows(*, pictures: bool) -> int:
    """At most in a batch."""
    return BATCH_PICTURES if pictures else BATCH_ROWS


def even_batches(targets: Ints, lengths: Sequence[int], random: np.random.Generator) -> list[Ints]:
    """All rows once, as indices into `targets`: every batch has its share of each label, to within a row or two.

    About PAIRED_ROWS rows, fewer where they are long, all about as many; which share a batch is drawn.
    """
    places = np.empty(len(targets))
    for label in np.unique(targets):
        own: Ints = random.permutation(np.flatnonzero(targets == label))
        places[own] = (np.arange(len(own)) + random.random()) / len(own)
    most = math.ceil(len(targets) / max(1, round(len(targets) / PAIRED_ROWS)))
    found: list[list[int]] = []
    room = 0
    order: list[int] = np.argsort(places, kind="stable").tolist()
    for row in order:
        if not found or len(found[-1]) == most or lengths[row] > room:
            found.append([])
            room = BATCH_TOKENS
        found[-1].append(row)
        room -= lengths[row]
    return [np.array(found[place], np.int64) for place in random.permutation(len(found))]


def label_batches(targets: Ints, lengths: Sequence[int], random: np.random.Generator) -> list[Ints]:
    """All rows once, as indices into `targets`: some of a label together, and those of many labels in a batch.

    Up to CONTRASTED_LABELS times ROWS_ALIKE rows, fewer where they are long; which share a batch is drawn.
    """
    groups: list[Ints] = []
    for label in np.unique(targets):
        own: Ints = random.permutation(np.flatnonzero(targets == label))
        parts = max(1, round(len(own) / ROWS_ALIKE))
        groups += [own[part::parts] for part in range(parts)]
    found: list[list[Ints]] = []
    room = 0
    for place in random.permutation(len(groups)):
        rows: Ints = groups[int(place)]
        tokens = sum(lengths[int(row)] for row in rows)
        if not found or len(found[-1]) == CONTRASTED_LABELS or tokens > room:
            found.append([])
            room = BATCH_TOKENS
        found[-1].append(rows)
        room -= tokens
    return [np.concatenate(batch) for batch in found]


def near_lengths(lengths: Sequence[int], most_tokens: int = PART_TOKENS) -> list[Ints]:
    """All rows once, as indices into `lengths`, from short to long, in parts that hold little padding each.

    Of at most so many tokens, padding included, or one row.
    """
    parts: list[list[int]] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        if not parts or (len(parts[-1]) + 1) * lengths[row] > most_tokens:
            parts.append([])
        parts[-1].append(row)
    return [np.array(part, np.int64) for part in parts]


def length_batches(lengths: Sequence[int], random: np.random.Generator, most_rows: int = BATCH_ROWS) -> list[Ints]:
    """All rows once, as indices into `lengths`, batch by batch in random order.

    Neighbours in length share a batch; which of those equally long do, and where the first batch ends, is drawn, so
    batches differ from one epoch to the next. BATCH_TOKENS count padding.
    """
    sizes = np.asarray(lengths, np.int64)
    order = np.lexsort((random.random(len(sizes)), sizes))
    room = int(random.integers(1, most_rows + 1))
    found: list[list[int]] = [[]]
    for row in order.tolist():
        if found[-1] and (len(found[-1]) == room or (len(found[-1]) + 1) * int(sizes[row]) > BATCH_TOKENS):
            found.append([])
            room = most_rows
        found[-1].append(row)
    return [np.array(found[place], np.int64) for place in random.permutation(len(found)) if found[place]]
