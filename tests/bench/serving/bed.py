"""What all parts measure on: texts, a home full of tenants, the core in this process, and how long to measure."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.core import Core
from service.launch import Running, serving
from service.settings import MIB, Settings
from service.wiring import wire
from tests.bench.filling import BACKBONE, Filled, fill
from tests.bench.heads import SEED
from tests.bench.sets import read

TEXTS = 768  # of 3,080, drawn once: a pass over all of them takes some seconds, and every round makes some
HEAD_BYTES = 2_048 * MIB  # 10,000 heads of 40 classes in the mean are 0.6 GB: all of them stay in memory
KEY = "bench-admin-key-of-loopback"


@dataclass(frozen=True, slots=True)
class Lengths:
    """How much is measured. Seconds are of one side in one round."""

    rounds: int
    side_s: float
    tenants: int
    probe_s: float  # of the quiet tenant, a round
    cold_heads: int
    overload_s: float


# Many short rounds: others' work on the same cores comes and goes within seconds.
FULL = Lengths(rounds=8, side_s=2, tenants=10_000, probe_s=20, cold_heads=500, overload_s=60)
QUICK = Lengths(rounds=2, side_s=2, tenants=1_000, probe_s=8, cold_heads=100, overload_s=12)


@dataclass(frozen=True, slots=True)
class Bed:
    """`tenants` have a live version each; `swapping` have two, and keys that may move aliases."""

    core: Core
    home: Path
    tenants: Sequence[Filled]
    swapping: Sequence[Filled]
    texts: Sequence[str]
    lengths: Lengths
    work: Path

    @property
    def cores(self) -> int:
        return len(os.sched_getaffinity(0))

    @contextmanager
    def serving(self) -> Generator[Running]:
        """The service on the same home, which neither side writes to but for moves of aliases; nothing is trained."""
        env = {"TSUGIKI_BOOTSTRAP_KEY": KEY, "TSUGIKI_HEAD_BYTES": str(HEAD_BYTES), "TSUGIKI_TRAINER": "off"}
        with serving(self.home, env=env) as running:
            yield running


SWAPPING = 4  # tenants
PATIENCE_S = (
    60.0  # in process as many rows wait as fill all passes, however slow a machine, and refusals are no answers
)


@contextmanager
def bed(work: Path, lengths: Lengths) -> Generator[Bed]:
    """`work` is an empty folder."""
    home = work / "home"
    wishes = {
        "home": home,
        "bootstrap_key": KEY,
        "head_bytes": HEAD_BYTES,
        "trainer": False,
        "wait_seconds": PATIENCE_S,
    }
    core = wire(Settings.model_validate(wishes))
    try:
        core.backbones.get(BACKBONE)
        started = time.perf_counter()
        tenants = fill(home, lengths.tenants)
        say(f"{lengths.tenants:,} tenants filled in {time.perf_counter() - started:.0f} s")
        swapping = fill(home, SWAPPING, versions=2, scopes=("predict", "adapt"))
        yield Bed(core, home, tenants, swapping, sample_texts(), lengths, work)
    finally:
        core.close()


def say(what: str) -> None:
    """How far a run is, for who waits for it."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")


def sample_texts() -> list[str]:
    """`TEXTS` of banking77's, in random order."""
    rows = read("banking77", "fs_test")
    chosen = np.random.default_rng(SEED).choice(len(rows), TEXTS, replace=False)
    return [rows[int(place)].text.lower() for place in chosen.tolist()]
