"""Two replicas and two trainers of homes of their own, on one PostgreSQL server and one of S3's protocol."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.launch import free_port
from tests import postgres, s3
from tests.faults.cluster.members import Member, until_ready
from tests.gate import Gate
from tests.tiny import tiny_backbone
from tsugiki.backbones import Loaded
from tsugiki.training.rates import FORMAT, rates_file

KEY = "tsk_of-the-cluster-suite"
REPLICAS = TRAINERS = 2


@dataclass(frozen=True, slots=True)
class Cluster:
    replicas: list[Member]
    trainers: list[Member]
    database: postgres.Server
    store: Gate

    @property
    def members(self) -> list[Member]:
        return [*self.replicas, *self.trainers]

    def connect(self, replica: int, key: str = KEY, timeout_s: float = 30.0) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.replicas[replica].url, headers=headers, timeout=timeout_s)


@contextmanager
def cluster(folder: Path) -> Generator[Cluster]:
    """All ready, on the tiny backbone."""
    tiny = tiny_backbone(folder / "tiny", folder / "graphs")
    with ExitStack() as stack:
        database = stack.enter_context(postgres.running())
        url = stack.enter_context(database.database())
        server = stack.enter_context(s3.running(folder / "s3.log"))
        bucket = server.bucket()
        gate = Gate(int(server.endpoint.rpartition(":")[2]))
        stack.callback(gate.close)
        shared = {
            **s3.Server(f"http://127.0.0.1:{gate.port}").environment,
            "TSUGIKI_BACKBONES": json.dumps({"tiny": str(tiny.source.folder)}),
            "TSUGIKI_TEXT_BACKBONE": "tiny",
            "TSUGIKI_ENGINE": "onnxruntime",
            "TSUGIKI_ENGINE_WORKERS": "1",
            "TSUGIKI_TRAINER": "on",
            "TSUGIKI_TRAINER_BESIDE": "off",
            "TSUGIKI_TRAINER_THREADS": "1",
            "TSUGIKI_DATABASE_URL": url,
            "TSUGIKI_BLOBS_URL": f"s3://{bucket}/tsugiki",
            "TSUGIKI_BOOTSTRAP_KEY": KEY,
        }
        replicas = [_member(folder, f"replica-{n}", "serve", shared, tiny) for n in range(REPLICAS)]
        trainers = [_member(folder, f"trainer-{n}", "train", shared, tiny) for n in range(TRAINERS)]
        made = Cluster(replicas, trainers, database, gate)
        for member in made.members:
            stack.callback(member.stop)
        # A trainer makes no tables: one that comes first waits for them as a pod would, by being started again.
        for members in (replicas, trainers):
            for member in members:
                member.start()
            until_ready(members)
        yield made


def _member(folder: Path, name: str, kind: str, shared: dict[str, str], tiny: Loaded) -> Member:
    home = folder / name
    graphs = home / "graphs"
    graphs.mkdir(parents=True)
    for path in (tiny.graph, tiny.graph.with_suffix(".sha256")):
        shutil.copy(path, graphs)
    # As if it had been measured there: for that, each life would take some seconds.
    (graphs / rates_file(tiny, "onnxruntime", 1).name).write_text(
        json.dumps({"format": FORMAT, "forward": 1e5, "backward": 1e4, "device": "cpu"})
    )
    environment = {**shared, "TSUGIKI_HOME": str(home)}
    log = folder / f"{name}.log"
    if kind == "train":
        return Member(name, "train", environment, log)
    port = free_port()
    own = {"TSUGIKI_HOST": "127.0.0.1", "TSUGIKI_PORT": str(port)}
    return Member(name, "serve", environment | own, log, f"http://127.0.0.1:{port}")
