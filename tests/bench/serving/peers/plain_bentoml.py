"""What a team would write with BentoML itself: one batchable API, sentence-transformers, a scikit-learn head a tenant.

`bentoml serve tests.bench.serving.peers.plain_bentoml:Plain`, by PEER_WEIGHTS, _TENANTS, _THREADS and _WORKERS.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# sentence-transformers and scikit-learn are partly typed.

from __future__ import annotations

import os

import bentoml
import numpy as np
import torch
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression

from tests.bench.heads import random_head

MAX_BATCH = 64


class Row(BaseModel):
    tenant: str
    text: str


@bentoml.service(
    workers=int(os.environ["PEER_WORKERS"]),
    traffic={"timeout": 120},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Plain:
    def __init__(self) -> None:
        torch.set_num_threads(int(os.environ["PEER_THREADS"]))
        self.encoder = SentenceTransformer(os.environ["PEER_WEIGHTS"], device="cpu")
        dim = self.encoder.get_embedding_dimension() or 0
        self.heads = {str(number): _head(number, dim) for number in range(int(os.environ["PEER_TENANTS"]))}

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=60_000)
    def predict(self, rows: list[Row]) -> list[dict[str, object]]:
        features = self.encoder.encode([row.text for row in rows], batch_size=MAX_BATCH, show_progress_bar=False)
        replies: list[dict[str, object]] = []
        for row, feature in zip(rows, features, strict=True):
            head = self.heads[row.tenant]
            scores = head.predict_proba(np.asarray(feature)[None])[0]
            best = int(scores.argmax())
            replies.append({"label": str(head.classes_[best]), "score": float(scores[best])})
        return replies


def _head(number: int, dim: int) -> LogisticRegression:
    """As a fitted one."""
    random = random_head(number, dim)
    head = LogisticRegression()
    head.classes_ = np.array(random.labels)
    head.coef_, head.intercept_ = random.weight, random.bias
    return head
