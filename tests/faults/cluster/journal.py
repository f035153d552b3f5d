"""What a cluster acknowledged and answered, and what must hold of it afterwards: pure, so that a test can doctor it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

BATCH = 6  # samples of one request: all of them or none
SAME = 1e-4  # scores of one version for one text; batches of different shapes differ by 1e-5
ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Job:
    """An adaptation as a list tells it."""

    id: str
    status: str
    version: int | None
    code: str = ""  # of the error it ended by


@dataclass(frozen=True, slots=True)
class Stored:
    """All there is of one tenant in the end; `moves` are all of the alias's, oldest first, `sources` the samples'."""

    sources: Sequence[str]
    jobs: Sequence[Job]
    versions: Sequence[int]
    moves: Sequence[int]


@dataclass(slots=True)
class Told:
    """What one tenant was told."""

    batches: set[str] = field(default_factory=set[str])
    jobs: dict[str, str] = field(default_factory=dict[str, str])  # id by idempotency key
    versions: dict[str, int] = field(default_factory=dict[str, int])  # by job
    moves: list[int] = field(default_factory=list[int])


class Answers:
    """Predictions compared with the first one of their version for their text. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: dict[tuple[str, int, str], tuple[str, float]] = {}
        self.compared = 0
        self.foreign: list[str] = []
        self.mixed: list[str] = []

    def add(self, tenant: str, version: int, text: str, label: str, score: float) -> None:
        """Each tenant's labels begin with its name."""
        with self._lock:
            self.compared += 1
            if not label.startswith(f"{tenant}-"):
                self.foreign.append(f"{tenant} was answered {label}")
                return
            first, expected = self._first.setdefault((tenant, version, text), (label, score))
            if first != label or abs(score - expected) > SAME:
                self.mixed.append(
                    f"{tenant} version {version}: {label} {score:.4f}, at first {first} {expected:.4f}, for {text!r}"
                )


def losses(told: Told, stored: Stored) -> list[str]:
    """What was acknowledged and is not there, or by halves."""
    there = Counter(stored.sources)
    lost = [f"batch {batch} is gone" for batch in told.batches if not there[batch]]
    lost += [f"{count} samples of batch {batch}" for batch, count in there.items() if count < BATCH]
    known = {job.id: job.version for job in stored.jobs}
    lost += [f"adaptation {job} is gone" for job in told.jobs.values() if job not in known]
    lost += [f"{job} told of version {number}" for job, number in told.versions.items() if known.get(job) != number]
    lost += [f"version {number} is gone" for number in _made(stored.jobs) if number not in stored.versions]
    return lost + _lost_moves(told.moves, stored.moves)


def _lost_moves(told: Sequence[int], stored: Sequence[int]) -> list[str]:
    """In order, others may lie between. A move to where the alias is already leaves no trace of its own."""
    lost: list[str] = []
    at = 0
    for number in told:
        if number in stored[at:]:
            at = stored.index(number, at)
        else:
            lost.append(f"the move to version {number} is gone")
    return lost


def doubles(told: Told, stored: Stored) -> list[str]:
    """What was done twice. Every key was told of by now, so a job that none was told of is another key's second."""
    twice = [f"{count} samples of batch {batch}" for batch, count in Counter(stored.sources).items() if count > BATCH]
    twice += [f"{job.id} is nobody's" for job in stored.jobs if job.id not in told.jobs.values()]
    twice += [f"version {number} by several jobs" for number, n in Counter(_made(stored.jobs)).items() if n > 1]
    return twice + [f"version {number} is no job's" for number in set(stored.versions) - set(_made(stored.jobs))]


def unended(stored: Stored) -> list[str]:
    return [f"{job.id} is {job.status}" for job in stored.jobs if job.status not in ENDED]


def _made(jobs: Iterable[Job]) -> list[int]:
    return [job.version for job in jobs if job.version is not None]
