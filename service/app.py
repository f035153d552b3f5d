"""The BentoML service: start, stop, the two verbs, and the mounted API behind one guard."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bentoml

from service.api import create_api, edge_of
from service.core import Core
from service.drain import fall_first
from service.guard import Guard
from service.logs import write_log
from service.settings import read_settings
from service.supervision import end_with_supervisor
from service.verbs import adapt_verb, predict_verb
from service.wiring import wire
from tsugiki.errors import TsugikiError

BLOCKING_CALLS = 32  # most of them wait for the disk or for a fit, not for a core
# BentoML's layers in front of the guard collect a span's attributes for every request, also where nobody takes spans
# (0.13 ms of the event loop's time, of 0.84 in all), and keep a timer of 800 bytes until `timeout` has passed, however
# soon the answer was. What waits for others here has limits and traces of its own; so the guard takes their place.
api = create_api()


def core() -> Core:
    return api.state.core


@bentoml.asgi_app(api, path="/")
@bentoml.service(
    name="tsugiki",
    workers=read_settings().workers,  # BentoML's --api-workers is for services of its former kind only
    traffic={"timeout": 120},  # an adaptation may be waited for up to 60 s
    metrics={"enabled": False},  # BentoML's own label raw paths; ours are at /metrics
    logging={"access": {"enabled": False}},  # it would log what the guard counts
)
class App:
    """One worker: engine, fast lane and API together. BentoML's clients reach the two verbs under /bento."""

    def __init__(self) -> None:
        settings = read_settings()
        write_log(settings.log_format)
        end_with_supervisor()
        try:
            api.state.core = wire(settings)
        except TsugikiError as error:
            raise SystemExit(f"tsugiki: {error.detail} {error.fix}") from error

    @bentoml.api(route="/bento/adapt")
    async def adapt(
        self,
        ctx: bentoml.Context,
        project: str,
        samples: list[dict[str, Any]] | None = None,
        modality: str = "text",
        method: str = "auto",
        wait_seconds: float = 10,
    ) -> dict[str, Any]:
        """POST labelled samples, get a classifier; as /adapt, for BentoML's clients."""
        body = {
            "project": project,
            "samples": samples or [],
            "modality": modality,
            "method": method,
            "wait_seconds": wait_seconds,
        }
        return await adapt_verb(core(), ctx, body)

    @bentoml.api(route="/bento/predict")
    async def predict(
        self,
        ctx: bentoml.Context,
        project: str,
        inputs: list[Any],
        top_k: int = 1,
        version: int | None = None,
        alias: str = "live",
        truncate: str = "END",
    ) -> dict[str, Any]:
        """POST inputs, get answers; as /predict, for BentoML's clients."""
        body = {
            "project": project,
            "inputs": inputs,
            "top_k": top_k,
            "version": version,
            "alias": alias,
            "truncate": truncate,
        }
        return await predict_verb(core(), ctx, body)

    def __is_ready__(self) -> bool:
        return core().why_not_ready() is None

    @bentoml.on_startup
    async def widen(self) -> None:
        """Threads for blocking work: asyncio's default of a few would make tenants wait for one another's."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(BLOCKING_CALLS, thread_name_prefix="work"))

    @bentoml.on_startup
    async def heed(self) -> None:
        """In the loop's thread, when the server has set its own handlers."""
        fall_first(core().draining, core().settings.notice_seconds)

    @bentoml.on_startup
    def settle(self) -> None:
        """What the start made stays: to look through its 160,000 objects for garbage stops everything for 90 ms."""
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown
    def stop(self) -> None:
        core().close()


# BentoML types a middleware class by its instances, which no class fits.
App.add_asgi_middleware(Guard, edge=edge_of(api), core=core, foremost=True)  # pyright: ignore[reportArgumentType]
