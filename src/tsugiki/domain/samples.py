"""Samples and snapshots."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from tsugiki.errors import Issue

from .told import tell_labels
from .words import Json

if TYPE_CHECKING:
    from .numbers import InputRow


@dataclass(frozen=True, slots=True)
class Prepared:
    """One input ready for the engine; `truncated` when it was longer than the limit.

    `row` is (tokens,) int64 of a text, (height, width, 3) uint8 of a picture, (frames, bands) or
    (samples,) float32 of a sound.
    `size` is what it counts in a pass, in tokens: of a text as many as it has, of the others what costs as much.
    """

    row: InputRow
    size: int
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A picture or a sound as it was sent, and what it was measured to be like once it had been read."""

    data: bytes
    measures: Json


@dataclass(frozen=True, slots=True)
class NewSample:
    """A checked sample before it is stored: `content` is NFC text, `label` NFC or None.

    Of a picture or a sound there is a `file`, and `content` is its sha256: the blob's name.

    `label` is what is told of it: in a multi_label project a set, as `tell_labels` writes it.
    `content_sha` is the identity for exact duplicates; `group` is shared by samples that must never
    be separated by a fold (equal but for case and white space).
    """

    content: str
    content_sha: str
    group: str
    label: str | None
    external_id: str | None = None
    source: str | None = None
    metadata: Json = field(default_factory=dict[str, Any])
    issues: tuple[Issue, ...] = ()
    file: SampleFile | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A stored sample. Everything but `label` (and what follows from it: `issues`) is immutable; see NewSample."""

    id: str
    project_id: str
    content: str
    content_sha: str
    group: str
    label: str | None
    external_id: str | None
    source: str | None
    metadata: Json
    status: Literal["accepted", "quarantined"]
    issues: tuple[Issue, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable set of labelled samples with its folds: what a version was trained on.

    `labels` are sorted; `targets[i]` indexes them or, in a multi_label project, the `combinations` of them that occur,
    each a set of places in `labels`. `folds[i]` is the fold in which sample i is held out; samples of one
    of the `groups` are the same or nearly, and share a fold. With a `holdout`, fold 0 is the frozen one: the same
    samples in every snapshot that holds them.
    """

    id: str
    project_id: str
    sample_ids: tuple[str, ...]
    labels: tuple[str, ...]
    targets: tuple[int, ...]
    folds: tuple[int, ...]
    groups: tuple[int, ...]
    holdout: bool = False
    combinations: tuple[tuple[int, ...], ...] | None = None

    @property
    def told(self) -> dict[str, str]:
        """What is told of each sample, by its id."""
        return dict(zip(self.sample_ids, self._tellings(), strict=True))

    @property
    def digest(self) -> str:
        """sha256 over samples, labels and folds, whatever order they were read in."""
        rows = sorted(zip(self.sample_ids, self._tellings(), self.folds, strict=True))
        return hashlib.sha256(json.dumps([self.labels, rows]).encode()).hexdigest()

    def _tellings(self) -> list[str]:
        if self.combinations is None:
            return [self.labels[target] for target in self.targets]
        sets = [tell_labels(self.labels[place] for place in members) for members in self.combinations]
        return [sets[target] for target in self.targets]
