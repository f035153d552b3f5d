"""Where a row is going, decided once: nothing behind a Route reads names, headers or aliases again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsugiki.domain import Floats
    from tsugiki.ports import Engine


def _nothing() -> None:
    """What is closed where nothing was opened."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A head's scope without its vectors: `means` is how many of them the bank holds, in the rows right after the
    head's own.
    """

    certainty: float
    least: float
    means: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A head's place in its bank: `rows` consecutive rows of `page` from `start`, valid in one `generation`.

    The first `classes` rows are the head's; of a head with `bounds` those of its scope follow.
    """

    page: int
    start: int
    classes: int
    generation: int
    bounds: Bounds | None = field(default=None, compare=False)  # told by the place: not hashed for every row
    thresholds: Floats | None = field(default=None, compare=False)  # (classes,), of a head whose labels stand alone

    @property
    def rows(self) -> int:
        return self.classes + (0 if self.bounds is None else self.bounds.means)


@dataclass(frozen=True, slots=True)
class Rack:
    """LoRA matrices that one pass can read together: of the same modules, at one rank."""

    modules: tuple[str, ...]
    rank: int


@dataclass(frozen=True, slots=True)
class LoraSlot:
    """An adapter's place in its rack, valid in one `generation`."""

    rack: Rack
    index: int
    generation: int


@dataclass(frozen=True, slots=True, eq=False)
class OwnNetwork:
    """A network whose weights are a version's own; its rows share passes with one another only."""

    engine: Engine
    close: Callable[[], None] = _nothing


Kin = Rack | OwnNetwork | None
"""With whom a row can share a pass: None with any but an OwnNetwork's, a Rack with None and itself."""


@dataclass(frozen=True, slots=True)
class Route:
    """One version of one project of one tenant, resident in the banks of its feature space."""

    tenant_id: str
    feature_space: str
    slot: Slot
    delta: LoraSlot | OwnNetwork | None = None

    @property
    def kin(self) -> Kin:
        return self.delta.rack if isinstance(self.delta, LoraSlot) else self.delta
