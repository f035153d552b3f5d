"""The seams: what the core asks of its parts. Concrete things meet in `service/wiring.py` only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tsugiki.domain import Delta, Floats, InputRow
    from tsugiki.errors import Invalid

from tsugiki.domain import (
    Budget,
    Content,
    EngineName,
    FeatureSpace,
    Fitted,
    MethodName,
    Modality,
    Phase,
    Prepared,
    Profile,
    Rates,
    TrainingSet,
    Verdict,
)

Truncate = Literal["END", "NONE"]
BankType = Literal["float32", "bfloat16"]


class Backbone(Protocol):
    """A frozen pretrained network's outside: identity and preprocessing. Holds no weights in memory."""

    @property
    def name(self) -> str: ...
    @property
    def modality(self) -> Modality: ...
    @property
    def space(self) -> FeatureSpace: ...
    def prepare(self, contents: Sequence[Content]) -> list[Prepared]:
        """Raises Invalid for the first that cannot be read."""
        ...

    def prepare_each(self, contents: Sequence[Content]) -> list[Prepared | Invalid]:
        """The same, with the error in its place where one cannot be read."""
        ...

    def probe(self) -> list[Prepared]:
        """Always the same rows, short and long: what engines are measured on, and asked when they may be broken."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """What a backbone offers besides, where a method may change the network itself."""

    @property
    def space(self) -> FeatureSpace: ...
    @property
    def rates(self) -> Rates:
        """Tokens a second here, or what is usual."""
        ...

    def network(self) -> torch.nn.Module:
        """A fresh copy of the whole, on the processor in float32: what `stack` makes of rows -> (batch, dim).

        `encoder` is its one submodule, under whose names a delta speaks. The last part of each feature is pooled from
        block `middle` (None: there is no such part). If the attribute `lower` is set, it is used as that part instead
        of being computed.
        """
        ...

    def features(self, rows: Sequence[Prepared], delta: Delta | None, check: Callable[[], None]) -> Floats:
        """(rows, dim) of the changed network by an engine as it serves, in order.

        `check` is called between passes and raises to stop them. Raises ArtifactCorrupt.
        """
        ...


class Graphs(Protocol):
    """The compiled files of one network, which engines read."""

    @property
    def graph(self) -> Path: ...
    def bank_graph(self, modules: Sequence[str], bank_type: BankType) -> Path:
        """The same network with LoRA matrices as inputs; blocks while it is written."""
        ...


@dataclass(frozen=True, slots=True)
class Adapters:
    """The LoRA matrices of one pass: banks over slots, and which slot each row reads; slot 0 adds nothing.

    `banks` has per module of `modules` the pair (down, up), (slots, in, rank) and (slots, rank, out), in the engine's
    `bank_type`; it is the same object for as long as the banks live, though slots in it are rewritten.
    `generations` (slots,) counts up whenever a slot is written. `slots` is (groups,) int64, where groups divides the
    rows: row i reads `slots[i // (rows / groups)]`.
    """

    modules: tuple[str, ...]
    banks: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]  # Any: float32, or uint16 holding the bits of bfloat16
    generations: NDArray[np.int64]
    slots: NDArray[np.int64]


class Engine(Protocol):
    """Runs passes of one backbone; thread-safe."""

    @property
    def name(self) -> EngineName: ...
    @property
    def precision(self) -> str:
        """The class of arithmetic, part of the feature space: `fp32`, `bf16`, `int8`."""
        ...

    @property
    def pass_tokens(self) -> int:
        """How many tokens a pass needs to run at full speed; more only take longer."""
        ...

    @property
    def bank_type(self) -> BankType:
        """What LoRA banks are to be made of."""
        ...

    @property
    def queues(self) -> bool:
        """Whether it takes more passes than it runs at a time, and begins the next the moment one ends."""
        ...

    def prepare(self, modules: tuple[str, ...]) -> None:
        """Blocks until passes with adapters of these modules can run; without it, the first such pass would."""
        ...

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        """Rows as they were prepared, unpadded -> features (rows, dim), float32.

        One that is wanted `at_once` does not wait for others, where the engine can run it beside them.
        """
        ...


class Embedder(Protocol):
    """Features by the serving engine, sharing its batcher with predictions at lower priority."""

    def backbone(self, name: str) -> Backbone:
        """Blocks while it loads. Raises NotFound, Unavailable."""
        ...

    def embed(
        self, tenant_id: str, name: str, contents: Sequence[Content], check: Callable[[], None] = lambda: None
    ) -> Floats:
        """Blocks the calling thread; (contents, dim), in order. Raises Overloaded, Unavailable.

        `check` is called now and then meanwhile, and raises to stop it.
        """
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
