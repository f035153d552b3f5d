"""infinity's engine under a thin layer that applies a head a tenant: its best case, no embedding crosses HTTP.

`python -m tests.bench.serving.peers.infinity_server PORT WEIGHTS TENANTS THREADS`, in the peer's own environment.
"""
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
# infinity is installed where this runs, not where it is checked.

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from infinity_emb import AsyncEmbeddingEngine, EngineArgs
from pydantic import BaseModel

from tests.bench.heads import RandomHead, random_head

DIM = 384
MAX_BATCH = 64


class Wish(BaseModel):
    tenant: int
    texts: list[str]


def create(weights: str, tenants: int) -> FastAPI:
    engine: Any = AsyncEmbeddingEngine.from_args(
        EngineArgs(
            model_name_or_path=weights,
            engine="torch",
            device="cpu",
            batch_size=MAX_BATCH,
            compile=False,
            bettertransformer=False,
            model_warmup=False,
        )
    )
    heads = [random_head(number, DIM) for number in range(tenants)]

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[None]:
        await engine.astart()
        yield
        await engine.astop()

    app = FastAPI(lifespan=life)

    @app.get("/ready")
    async def ready() -> None: ...

    @app.post("/predict")
    async def predict(wish: Wish) -> list[dict[str, object]]:
        features: Any
        features, _ = await engine.embed(sentences=wish.texts)
        return _answers(heads[wish.tenant], np.stack(features))

    return app


def _answers(head: RandomHead, features: Any) -> list[dict[str, object]]:
    logits = features @ head.weight.T + head.bias
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return [{"label": head.labels[int(row.argmax())], "score": float(row.max())} for row in shares]


if __name__ == "__main__":
    port, weights, tenants, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    uvicorn.run(create(weights, int(tenants)), host="127.0.0.1", port=int(port), log_level="warning")
