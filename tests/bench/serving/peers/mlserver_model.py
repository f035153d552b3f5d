"""A model folder for MLServer's Hugging Face runtime: the same network with one classification head.

The runtime knows no head a tenant; a model each would load the network each. One head for everybody is its best case.
"""
# pyright: reportUnknownMemberType=false
# transformers is partly typed.

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertForSequenceClassification

from tests.bench.heads import LARGEST, SEED

MAX_BATCH = 32
MAX_BATCH_TIME_S = 0.005
NAME = "peer"


def write(folder: Path, weights: Path, http_port: int, other_ports: tuple[int, int], threads: int) -> None:
    """Settings of the server and of its one model, which is written beside them."""
    torch.manual_seed(SEED)
    model = folder / "model"
    BertForSequenceClassification.from_pretrained(weights, num_labels=LARGEST).save_pretrained(model)
    AutoTokenizer.from_pretrained(weights).save_pretrained(model)
    server = {
        "host": "127.0.0.1",
        "http_port": http_port,
        "grpc_port": other_ports[0],
        "metrics_port": other_ports[1],
        "parallel_workers": 0,
        "debug": False,
    }
    settings = {
        "name": NAME,
        "implementation": "mlserver_huggingface.HuggingFaceRuntime",
        "max_batch_size": MAX_BATCH,
        "max_batch_time": MAX_BATCH_TIME_S,
        "parameters": {
            "extra": {
                "task": "text-classification",
                "pretrained_model": str(model),
                "framework": "pt",
                "intra_op_threads": threads,
            }
        },
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(settings))
