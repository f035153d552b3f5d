"""The peers, each as its own documentation would have it run, on the same weights and the same cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.bench.serving.driving import Question
from tests.bench.serving.peers import mlserver_model
from tests.bench.serving.peers.peer import Peer, Start

PLAIN = "plain BentoML"
MLSERVER_READY = f"/v2/models/{mlserver_model.NAME}/ready"
INFER = f"/v2/models/{mlserver_model.NAME}/infer"


def _plain(start: Start) -> list[str]:
    service = "tests.bench.serving.peers.plain_bentoml:Plain"
    return [str(start.python), "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", str(start.port)]


def _plain_env(start: Start) -> Mapping[str, str]:
    return {
        "PEER_WEIGHTS": str(start.weights),
        "PEER_TENANTS": str(start.tenants),
        "PEER_THREADS": str(start.threads),
        "PEER_WORKERS": str(start.workers),
    }


def _ask_plain(tenant: int, texts: Sequence[str]) -> Question:
    return Question("/predict", {"rows": [{"tenant": str(tenant), "text": text} for text in texts]})


def _infinity(start: Start) -> list[str]:
    given = (start.port, start.weights, start.tenants, start.threads)
    return [str(start.python), "-m", "tests.bench.serving.peers.infinity_server", *(str(value) for value in given)]


def _ask_infinity(tenant: int, texts: Sequence[str]) -> Question:
    return Question("/predict", {"tenant": tenant, "texts": list(texts)})


def _mlserver(start: Start) -> list[str]:
    return [str(start.python.parent / "mlserver"), "start", str(start.folder)]


def _mlserver_hugging_face(start: Start) -> list[str]:
    mlserver_model.write_hugging_face(start)
    return _mlserver(start)


def _mlserver_own(start: Start) -> list[str]:
    mlserver_model.write_own(start)
    return _mlserver(start)


def _ask_mlserver(tenant: int, texts: Sequence[str]) -> Question:
    column = {"name": "args", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    return Question(INFER, {"inputs": [column]})


def _ask_mlserver_own(tenant: int, texts: Sequence[str]) -> Question:
    rows = [len(texts), 1]
    columns = [
        {"name": "text", "shape": rows, "datatype": "BYTES", "data": list(texts)},
        {"name": "tenant", "shape": rows, "datatype": "INT64", "data": [tenant] * len(texts)},
    ]
    return Question(INFER, {"inputs": columns})


PEERS = (
    Peer(
        PLAIN,
        None,
        _plain,
        "/readyz",
        _ask_plain,
        "batchable API, sentence-transformers fp32, a scikit-learn head a tenant; workers × threads fill the cores",
        _plain_env,
    ),
    Peer(
        "infinity",
        "infinity.txt",
        _infinity,
        "/ready",
        _ask_infinity,
        "its engine (torch fp32) in process, heads by a thin layer over it",
    ),
    Peer(
        "MLServer, Hugging Face runtime",
        "mlserver.txt",
        _mlserver_hugging_face,
        MLSERVER_READY,
        _ask_mlserver,
        "torch fp32, one head for all tenants",
    ),
    Peer(
        "MLServer, own runtime",
        "mlserver.txt",
        _mlserver_own,
        MLSERVER_READY,
        _ask_mlserver_own,
        "adaptive batching, transformers (torch fp32), a head a tenant",
    ),
)
