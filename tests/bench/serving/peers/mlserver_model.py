"""Model folders for MLServer: its Hugging Face runtime, and a runtime of one's own."""
# pyright: reportUnknownMemberType=false
# transformers is partly typed.

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoTokenizer, BertForSequenceClassification

from service.launch import free_port
from tests.bench.heads import LARGEST, SEED
from tests.bench.serving.peers.peer import Start

MAX_BATCH = 32
MAX_BATCH_TIME_S = 0.005  # as MLServer's own examples have it, where they batch
NAME = "peer"


def write_hugging_face(start: Start) -> None:
    """The same network with one classification head.

    The runtime knows no head a tenant; a model each would load the network each. One for everybody is its best case.
    """
    torch.manual_seed(SEED)
    model = start.folder / "model"
    BertForSequenceClassification.from_pretrained(start.weights, num_labels=LARGEST).save_pretrained(model)
    AutoTokenizer.from_pretrained(start.weights).save_pretrained(model)
    extra = {
        "task": "text-classification",
        "pretrained_model": str(model),
        "framework": "pt",
        "intra_op_threads": start.threads,
    }
    _write(start, "mlserver_huggingface.HuggingFaceRuntime", extra)


def write_own(start: Start) -> None:
    extra = {"weights": str(start.weights), "tenants": start.tenants, "threads": start.threads}
    _write(start, "tests.bench.serving.peers.mlserver_runtime.Heads", extra)


def _write(start: Start, implementation: str, extra: Mapping[str, Any]) -> None:
    server = {
        "host": "127.0.0.1",
        "http_port": start.port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,  # one process: workers of 1.7.1 end at once under uvloop 0.23, finding no event loop
        "debug": False,
    }
    model = {
        "name": NAME,
        "implementation": implementation,
        "max_batch_size": MAX_BATCH,
        "max_batch_time": MAX_BATCH_TIME_S,
        "parameters": {"extra": extra},
    }
    (start.folder / "settings.json").write_text(json.dumps(server))
    (start.folder / "model-settings.json").write_text(json.dumps(model))
