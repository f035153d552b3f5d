"""Adaptations in process on the tiny backbone: a wired core, samples by the dozen, and a lane that is watched."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters import METHODS
from adapters.selection import plan
from service.core import Core
from service.settings import Settings
from service.wiring import wire
from tsugiki.data.text import check_sample
from tsugiki.domain import LIVE, Adaptation, Content, Json, NewSample, Policy, Project
from tsugiki.jobs.adapting import Stores, Tools
from tsugiki.jobs.fast_lane import FastLane
from tsugiki.ports import Backbone, Embedder, Method
from tsugiki.storage.features import Features

if TYPE_CHECKING:
    from tsugiki.domain import Floats
    from tsugiki.jobs.choosing import Chooser

SOON_S = 60  # a job that takes so long has hung
WORDS = {"billing": "money refund pay charge price bill", "delivery": "parcel late arrive address order lost"}


@contextmanager
def core_at(home: Path, backbone: Path) -> Generator[Core]:
    """The whole core as the service wires it, without HTTP."""
    # Values given here win over the environment's. Which engine is faster on a tiny network is a matter of chance.
    values: dict[str, Any] = {"home": home, "backbones": {"tiny": backbone}, "text_backbone": "tiny"}
    values |= {"engine": "onnxruntime", "engine_workers": 2}
    core = wire(Settings(**values, bootstrap_key="tsk_of-the-jobs-tests"))  # pyright: ignore[reportArgumentType]
    try:
        yield core
    finally:
        core.close()


@dataclass(slots=True)
class Watched:
    """The Embedder port, delegated; notes how many rows were embedded."""

    embedder: Embedder
    rows: list[Content] = field(default_factory=list[Content])

    def backbone(self, name: str) -> Backbone:
        return self.embedder.backbone(name)

    def embed(
        self, tenant_id: str, name: str, contents: Sequence[Content], check: Callable[[], None] = lambda: None
    ) -> Floats:
        self.rows.extend(contents)
        return self.embedder.embed(tenant_id, name, contents, check)


def lane_of(
    core: Core,
    *,
    embedder: Embedder | None = None,
    methods: Iterable[Method] = METHODS,
    choose: Chooser | None = None,
) -> FastLane:
    """A fast lane of the core's own parts but for what is given, without pauses. Close it before the core."""
    stores = Stores(
        core.adaptations, core.samples, Features(core.database), core.registry, partial(core.database.ids.new, "snp")
    )
    chosen = tuple(methods)
    served = embedder or core.backbones
    tools = Tools(served, {method.name: method for method in chosen}, partial(plan, chosen), choose=choose)
    return FastLane(stores, tools, workers=2, on_end=core.metrics.adaptation, pauses_s=(0.0, 0.0))


def project(core: Core, name: str = "support", policy: Policy | None = None) -> Project:
    tenant = core.tenants.list().data[0]
    return core.projects.create(tenant.id, name, "text", "single_label", "tiny", policy=policy)


def samples(count: int = 12, first: int = 0) -> list[NewSample]:
    """`count` of each label; every text is another one."""
    return [
        check_sample(
            {"input": f"{words.split()[n % 6]} {words.split()[n // 6 % 6]} {n}", "label": label},
            "",
            label_required=True,
        )
        for label, words in WORDS.items()
        for n in range(first, first + count)
    ]


def adapt(core: Core, lane: FastLane, to: Project, **request: object) -> Adaptation:
    """Ask, wait, and tell what became of it."""
    adaptation = ask(core, to, **request)
    lane.submit(to, adaptation).result(SOON_S)
    return core.adaptations.get(to.tenant_id, adaptation.id)


def ask(core: Core, to: Project, **request: object) -> Adaptation:
    wish: Json = {"method": "auto", "budget": None, "hyperparameters": None, "promote": "gate", **request}
    return core.adaptations.create(to.id, wish)


def live(core: Core, project_id: str) -> int | None:
    alias = core.registry.alias(project_id, LIVE)
    return None if alias is None else alias.version
