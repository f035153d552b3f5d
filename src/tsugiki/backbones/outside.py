"""What a backbone shows of itself whatever it reads: its name, its feature space, and prepared rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Self

from tsugiki.backbones.source import Source
from tsugiki.domain import Content, FeatureSpace, Json, Modality, Prepared
from tsugiki.errors import Invalid


@dataclass(frozen=True, slots=True)
class Reading:
    """How an export reads inputs as the backbone does: settings for its manifest, with the `kind` of what is read.

    `files` are put beside its program, by name; `packages` are those that it or they need, besides numpy.
    """

    settings: Json
    files: Mapping[str, bytes]
    packages: tuple[str, ...]


class Outside(ABC):
    """The Backbone port over a source. `preprocessing` is a digest of all that decides what a row is."""

    def __init__(self, source: Source, weights_sha256: str, preprocessing: str, precision: str = "fp32") -> None:
        self._source = source
        self._space = FeatureSpace(
            backbone=source.name,
            backbone_sha256=weights_sha256,
            preprocessing=preprocessing,
            pooling=source.pooled,
            precision=precision,
            dim=source.feature_dim,
            widths=source.widths,
            blocks=source.blocks,
        )

    def at(self, precision: str) -> Self:
        """The same network as an engine of this precision class runs it: another feature space."""
        other = copy(self)
        other._space = replace(self._space, precision=precision)
        return other

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def modality(self) -> Modality:
        return self._source.modality

    @property
    def space(self) -> FeatureSpace:
        return self._space

    def prepare(self, contents: Sequence[Content]) -> list[Prepared]:
        """Raises Invalid for the first that cannot be read."""
        rows: list[Prepared] = []
        for row in self.prepare_each(contents):
            if isinstance(row, Invalid):
                raise row
            rows.append(row)
        return rows

    @abstractmethod
    def prepare_each(self, contents: Sequence[Content]) -> list[Prepared | Invalid]:
        """A row for each, or why it cannot be read."""

    @abstractmethod
    def probe(self) -> list[Prepared]:
        """Always the same rows, short and long."""

    @abstractmethod
    def reading(self) -> Reading:
        """What of it a program needs that runs without this package."""
