"""The seams: what the core asks of its parts. Concrete things meet in `service/wiring.py` only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsugiki.domain import Floats

from tsugiki.domain import (
    Budget,
    FeatureSpace,
    Fitted,
    MethodName,
    Modality,
    Phase,
    Profile,
    TrainingSet,
    Verdict,
)

Truncate = Literal["END", "NONE"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One input ready for the engine: `ids` (tokens,) int64; `truncated` when the input was longer than the limit."""

    ids: NDArray[np.int64]
    truncated: bool


class Backbone(Protocol):
    """A frozen pretrained network's outside: identity and preprocessing. Holds no weights in memory."""

    @property
    def name(self) -> str: ...
    @property
    def modality(self) -> Modality: ...
    @property
    def space(self) -> FeatureSpace: ...
    def prepare(self, contents: Sequence[str]) -> list[Prepared]: ...


class Engine(Protocol):
    """Runs one pass of a backbone; thread-safe."""

    def run(self, rows: Sequence[NDArray[np.int64]]) -> Floats:
        """Token ids of each row, unpadded -> features (rows, dim), float32."""
        ...


class Embedder(Protocol):
    """Features by the serving engine, sharing its batcher with predictions at lower priority."""

    def backbone(self, name: str) -> Backbone:
        """Blocks while it loads. Raises NotFound, Unavailable."""
        ...

    def embed(self, tenant_id: str, name: str, contents: Sequence[str]) -> Floats:
        """Blocks the calling thread; (contents, dim), in order. Raises Overloaded, Unavailable."""
        ...


class Progress(Protocol):
    """How a method reports, and how it learns that it must stop."""

    def phase(self, phase: Phase, fraction: float) -> None:
        """`fraction` 0..1 of the phase; what that is of the whole is the job's to know."""
        ...

    def metric(self, name: str, value: float) -> None:
        """A figure worth an event, a few times a job."""
        ...

    def check(self) -> None:
        """Raises what ends the work, as Cancelled once the job was; called at least every second of it."""
        ...


class Method(Protocol):
    """A way to adapt. Returns data: runtime and export never know which method made it."""

    @property
    def name(self) -> MethodName: ...
    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        """May it run, at what cost, or why not; loads nothing."""
        ...

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        """Raises Invalid on degenerate data, Cancelled, WrongFeatureSpace."""
        ...
