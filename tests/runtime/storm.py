"""Many tenants ask while everything moves, and a judge who compares each answer with its version asked alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.runtime.adapting import drawn_lora, drawn_weights
from tests.runtime.assembled import Assembled
from tests.runtime.grafting import TOLERANCE
from tests.runtime.wrapping import Wrapping
from tsugiki.backbones import Loaded
from tsugiki.domain import LIVE, Prediction, Project, Version
from tsugiki.errors import Overloaded, TsugikiError
from tsugiki.ports import Adapters, Engine
from tsugiki.runtime.directory import Selector
from tsugiki.runtime.predictor import Answered

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

MOST_VERSIONS = 6  # of a project
NAME = "support"  # of every tenant's project: what is keyed by name alone would meet here
POISON = "terrible"  # a word whose rows make their pass fail
TEXTS = 40  # different ones: each is asked of every version alone as well
WORDS = "card money refund parcel delivery late music film great weather rain sun broken password login".split()


class Fragile(Wrapping):
    """A real engine, but for the rows of one word."""

    def __init__(self, engine: Engine, tiny: Loaded) -> None:
        super().__init__(engine)
        self._poison = int(tiny.backbone.prepare([POISON])[0].row[1])

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        if any(self._poison in row for row in rows):
            raise RuntimeError("this row breaks the engine")
        return self.inner.run(rows, adapters, at_once=at_once)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one request was answered, and by whom it said."""

    tenant: str
    texts: tuple[str, ...]
    answered: Answered


class Judge:
    """Finds answers that are not the named version's own. `excused` are codes that a good row may be refused with."""

    def __init__(self, parts: Assembled, excused: frozenset[str] = frozenset()) -> None:
        self._excused = excused
        self._parts = parts
        self._known: dict[tuple[str, str, str], Floats] = {}

    def faults(self, observations: Sequence[Observation]) -> list[str]:
        return [fault for seen in observations for fault in self._of(seen)]

    def _of(self, seen: Observation) -> list[str]:
        version = seen.answered.target.version
        found: list[str] = []
        if not all(label.startswith(f"{seen.tenant}/{version.number}/") for label in version.labels):
            found.append(f"{seen.tenant} was answered by a version of {version.labels[0]}")
        for text, row in zip(seen.texts, seen.answered.rows, strict=True):
            if (fault := self._fault(version, text, row)) is not None:
                found.append(f"{seen.tenant} version {version.number}: {fault}")
        return found

    def _fault(self, version: Version, text: str, row: Prediction | TsugikiError) -> str | None:
        if isinstance(row, TsugikiError):
            poisoned = row.reason == "unavailable" and POISON in text
            return None if poisoned or row.reason in self._excused else f"{text!r} was refused: {row.reason}"
        scores = dict(row.scores)
        if scores.keys() != set(version.labels):
            return f"labels of another version: {row.label}"
        alone = self._alone(version, text)
        off = max(abs(scores[label] - float(p)) for label, p in zip(version.labels, alone, strict=True))
        return None if off <= TOLERANCE else f"{text!r} is off by {off:.1e}"

    def _alone(self, version: Version, text: str) -> Floats:
        key = (version.project_id, version.digest, text)
        if key not in self._known:
            self._known[key] = self._parts.alone(version, text)
        return self._known[key]


MOST_MOVES = 20  # times those wished for, or for each row: then a tenant is left that nobody answers
FAR = 1e6  # of a scope: nothing is out of it, but its means take up rows of the bank


@dataclass(frozen=True, slots=True)
class Scale:
    """`moves` are of aliases, while requests go on; every third one is to a version that is new."""

    tenants: int = 8
    at_once: int = 4  # requests of each tenant
    moves: int = 36
    rows: int = 0  # to be asked at least


def storm(parts: Assembled, scale: Scale = Scale()) -> list[Observation]:
    """Every tenant asks, now and then leaving before the answer, while versions appear and aliases move."""
    projects = {f"t{number}": parts.project(NAME, f"t{number}") for number in range(scale.tenants)}
    for tenant in projects:
        _publish(parts, tenant, projects[tenant])
        _publish(parts, tenant, projects[tenant])
    over = threading.Event()
    seen: list[Observation] = []
    moving = threading.Thread(target=_move, args=(parts, projects, scale, seen, over))
    moving.start()
    try:
        asyncio.run(_ask(parts, projects, scale, seen, over))
    finally:
        moving.join()
    return seen


def _publish(parts: Assembled, tenant: str, project: Project) -> Version:
    """In turn: a head alone, one with an adapter, and now and then one with weights of its own."""
    number = len(parts.registry.list(project.id).data) + 1
    labels = [f"{tenant}/{number}/{index}" for index in range(2 + number * 3 % 5)]
    seed = 100 * number + int(tenant[1:])
    delta = None
    if number % 2 == 0:
        delta = drawn_lora(parts.tiny, seed, rank=(3, 8)[seed % 2], everywhere=seed % 4 == 0)
    elif number == 3 and seed % 2 == 0:
        delta = drawn_weights(parts.tiny, seed)
    reach = FAR if number % 3 == 1 else None
    return parts.publish(project, labels, seed=seed, delta=delta, reach=reach)


def _move(
    parts: Assembled, projects: dict[str, Project], scale: Scale, seen: list[Observation], over: threading.Event
) -> None:
    random = np.random.default_rng(1)
    move = 0
    try:
        while move < scale.moves or (not _enough(seen, scale) and move < MOST_MOVES * max(scale.moves, scale.rows)):
            tenant = f"t{random.integers(scale.tenants)}"
            project = projects[tenant]
            versions = len(parts.registry.list(project.id).data)
            if move % 3 == 0 and versions < MOST_VERSIONS:
                _publish(parts, tenant, project)
            else:
                parts.registry.move(project.id, LIVE, int(random.integers(1, versions + 1)))
            move += 1
    finally:
        over.set()


def _enough(seen: list[Observation], scale: Scale) -> bool:
    """Every tenant was answered, which may be refused for long where others' requests hold all heads there are."""
    return len({one.tenant for one in seen}) == scale.tenants and sum(len(one.texts) for one in seen) >= scale.rows


async def _ask(
    parts: Assembled, projects: dict[str, Project], scale: Scale, seen: list[Observation], over: threading.Event
) -> None:
    random = np.random.default_rng(2)
    texts: list[str] = [" ".join(random.choice(WORDS, size=random.integers(1, 9))) for _ in range(TEXTS)]

    async def client(tenant: str, seed: int) -> None:
        random = np.random.default_rng(seed)
        turn = 0
        while not over.is_set():
            turn += 1
            chosen: list[int] = random.integers(0, TEXTS, size=8).tolist()
            asked_for = [texts[number] for number in chosen]
            if turn % 4 == 0:
                asked_for.append(f"{POISON} {asked_for[0]}")
            selector = Selector(version=1) if turn % 5 == 4 else Selector()
            asked = asyncio.create_task(
                parts.predictor.predict(projects[tenant].tenant_id, NAME, selector, asked_for), name=tenant
            )
            if turn % 3 == 2:
                await asyncio.sleep(float(random.uniform(0, 0.01)))  # long enough to be anywhere on its way
                asked.cancel()
            try:
                seen.append(Observation(tenant, tuple(asked_for), await asked))
            except asyncio.CancelledError:
                continue  # gone on purpose
            except Overloaded:
                await asyncio.sleep(0)  # told at once that every graft is in use

    clients = [client(tenant, 10 * number + n) for number, tenant in enumerate(projects) for n in range(scale.at_once)]
    await asyncio.gather(*clients)
