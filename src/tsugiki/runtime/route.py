"""Where a row is going, decided once: nothing behind a Route reads names, headers or aliases again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """A head's place in its bank: `classes` consecutive rows of `page` from `start`, valid in one `generation`."""

    page: int
    start: int
    classes: int
    generation: int


@dataclass(frozen=True, slots=True)
class Route:
    """One version of one project of one tenant, resident in the bank of its feature space."""

    tenant_id: str
    project_id: str
    version: int
    digest: str
    feature_space: str
    slot: Slot
