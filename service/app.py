"""The BentoML service: start, stop, the two verbs, and our own API in front of BentoML's.

BentoML's supervisor reads this module as well, and workers start when it has: what only they need is in `worker.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bentoml

from service.settings import read_settings

if TYPE_CHECKING:
    from service.guard import App as AsgiApp
    from service.guard import Guard


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
        from service.worker import worker

        self._worker = worker()

    @bentoml.api(route="/bento/adapt")
    async def adapt(
        self,
        ctx: bentoml.Context,
        project: str,
        samples: list[dict[str, Any]] | None = None,
        modality: str = "text",
        task: str = "single_label",
        method: str = "auto",
        wait_seconds: float = 10,
    ) -> dict[str, Any]:
        """POST labelled samples, get a classifier; as /adapt, for BentoML's clients."""
        body = {
            "project": project,
            "samples": samples or [],
            "modality": modality,
            "task": task,
            "method": method,
            "wait_seconds": wait_seconds,
        }
        return await self._worker.adapt(ctx, body)

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
        return await self._worker.predict(ctx, body)

    def __is_ready__(self) -> bool:
        return self._worker.core.why_not_ready() is None

    @bentoml.on_startup
    async def settle(self) -> None:
        """In the loop's thread, when the server has set its own handlers."""
        self._worker.settle()

    @bentoml.on_shutdown
    def stop(self) -> None:
        self._worker.core.close()


def guarded(app: AsgiApp) -> Guard:
    from service.worker import guard

    return guard(app)


# BentoML types a middleware class by its instances, which neither a class nor a function fits.
App.add_asgi_middleware(guarded)  # pyright: ignore[reportArgumentType]
