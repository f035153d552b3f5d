"""The service in the test's own process, for what a running one must never be: broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from starlette.testclient import TestClient

from service.api import create_api, edge_of
from service.core import Core
from service.guard import App, Guard
from service.settings import Settings
from service.wiring import wire


@dataclass(frozen=True, slots=True)
class InProcess:
    core: Core
    http: TestClient  # without a key: each request brings one


@contextmanager
def in_process(
    home: Path, backbones: Mapping[str, Path], breaking: Callable[[Core], Core] = lambda core: core
) -> Generator[InProcess]:
    """The guard and the API around a core that `breaking` may change; ready when it yields."""
    settings = Settings(  # pyright: ignore[reportCallIssue]  # the rest has defaults
        home=home,
        backbones=dict(backbones),
        text_backbone=next(iter(backbones)),
        engine="onnxruntime",
        engine_workers=1,
    )
    core = breaking(wire(settings))
    api = create_api()
    api.state.core = core
    core.backbones.get(settings.text_backbone)
    try:
        with TestClient(cast(App, Guard(cast(App, api), edge_of(api), lambda: core))) as http:
            yield InProcess(core, http)
    finally:
        core.close()
