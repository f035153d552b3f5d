"""What the load client is pointed at: how it is asked about some texts of some tenant, and with which loads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tests.bench.filling import PROJECT
from tests.bench.heads import SEED
from tests.bench.serving.arithmetic import draw
from tests.bench.serving.driving import Load, Question, drive, write_tape
from tests.bench.serving.load import Job

if TYPE_CHECKING:
    from tests.bench.filling import Filled
    from tests.bench.serving.bed import Bed

TENANTS = 1_000
SINGLES, BATCHES = 8_192, 512  # requests of a tape before it repeats

Ask = Callable[[int, Sequence[str]], Question]
"""Of the number of a tenant and its texts."""


class Shape(NamedTuple):
    """One kind of load: texts a request, and requests under way at a time."""

    texts: int
    connections: int

    def __str__(self) -> str:
        return f"{self.texts}-text requests" if self.texts > 1 else f"single texts × {self.connections}"


ALONE, SOME, MANY, BATCHED = Shape(1, 1), Shape(1, 32), Shape(1, 256), Shape(64, 4)


class Target:
    """Something that listens on a loopback port; its tapes are written once and played again each round."""

    def __init__(self, bed: Bed, name: str, port: int, ask: Ask, tenants: int = TENANTS) -> None:
        self.name = name
        self.port = port
        self._bed = bed
        self.ask = ask
        self._tenants = min(tenants, len(bed.tenants))

    def run(self, shape: Shape, seconds: float | None = None) -> Load:
        seconds = self._bed.lengths.side_s if seconds is None else seconds
        return drive(Job(self.port, self.tape(shape.texts), shape.connections, seconds))

    def tape(self, texts: int) -> str:
        """Requests of `texts` texts, each of a tenant drawn uniformly."""
        name = re.sub(r"\W+", "-", self.name)
        path = self._bed.work / f"{name}-{texts}.json"
        return str(path) if path.exists() else self._write(path, texts)

    def _write(self, path: Path, texts: int) -> str:
        tenants = draw("uniform", self._tenants, SINGLES if texts == 1 else BATCHES, np.random.default_rng(SEED))
        pool = self._bed.texts
        return write_tape(
            path,
            self.port,
            (
                self.ask(tenant, [pool[(n * texts + k) % len(pool)] for k in range(texts)])
                for n, tenant in enumerate(tenants.tolist())
            ),
        )


def asking(tenants: Sequence[Filled]) -> Ask:
    """How Tsugiki is asked: each request with its tenant's own key."""

    def ask(tenant: int, texts: Sequence[str]) -> Question:
        headers = {"Authorization": f"Bearer {tenants[tenant].key}"}
        return Question("/predict", {"project": PROJECT, "inputs": list(texts)}, headers)

    return ask


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])
