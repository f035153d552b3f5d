"""How fast pictures and sounds are answered, beside the bare engine; and what one modality's load costs another."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

import base64
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from service.launch import Running, serving
from service.parts import engines_of, serve_backbones
from service.settings import read_settings
from tests.bench.figures import Figure
from tests.bench.serving.arithmetic import percentile
from tests.bench.serving.driving import Load, Question, drive, driving, write_tape
from tests.bench.serving.load import Job
from tests.bench.sets import read, read_files
from tsugiki.client import Client
from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.runtime.batcher import Lane
from tsugiki.runtime.engines.making import Cores

if TYPE_CHECKING:
    import torch

    from tsugiki.domain import Content, Prepared
    from tsugiki.runtime.served import Served

ROWS = 160  # files, asked again and again
A_REQUEST = 16  # files, where throughput is measured
CONNECTIONS = 4
ROUND_S, ROUNDS = 8.0, 3
MIXED_S = 12.0
# Of what a modality alone is answered: two at a half fill the machine whatever is done, two at a quarter leave half.
SHARES = {"a half": 0.5, "a quarter": 0.25}
BATCHES = (1, 4, 8, 16)
BARE, WITH_DECODING, TORCH, GROWN = 0.85, 0.70, 2.0, 2.0


class Kind(NamedTuple):
    name: str
    backbone: str
    unit: str


IMAGES = Kind("image", "efficientnet-lite0", "images/s")
SOUNDS = Kind("audio", "whisper-tiny-en", "clips/s")
TEXTS = Kind("text", "minilm-en", "texts/s")


def measure(home: Path) -> list[Figure]:
    figures: list[Figure] = []
    with serving(home) as running, Client(running.url, running.key, timeout_s=600) as client:
        bed = _Bed(running, client, home)
        for kind in (IMAGES, SOUNDS):
            figures += _throughput(bed, kind)
        figures += _mixed(bed)
    return figures


class _Bed:
    """A project of each modality, and the engines of the service once more in this process, to be run bare."""

    def __init__(self, running: Running, client: Client, home: Path) -> None:
        self.port = urlsplit(running.url).port or 80
        self.key = running.key
        self.home = home
        self.inputs = {kind: _inputs(kind) for kind in (IMAGES, SOUNDS, TEXTS)}
        for kind, rows in self.inputs.items():
            client.projects.create(f"pace-{kind.name}", modality=kind.name)  # pyright: ignore[reportArgumentType]
            client.samples.add(f"pace-{kind.name}", rows)
            done = client.adaptations.wait(client.adaptations.start(f"pace-{kind.name}", method="head"))
            assert done.status == "succeeded", done.problem
        self.settings = read_settings().model_copy(update={"home": home})
        cores = Cores(self.settings.engine_workers, self.settings.engine_threads)
        self.decoder = DecoderPool(self.settings.engine_workers)
        self.served = serve_backbones(
            self.settings, engines_of(self.settings, cores), self.settings.engine_workers, self.decoder
        )

    def contents(self, kind: Kind) -> list[Content]:
        return [row for row, _ in self.inputs[kind]]

    def tape(self, kind: Kind, a_request: int) -> str:
        path, rows = self.home / f"tape-{kind.name}-{a_request}.json", self.contents(kind)
        parts = [rows[start : start + a_request] for start in range(0, len(rows), a_request)]
        headers = {"Authorization": f"Bearer {self.key}"}
        questions = [
            Question(f"/v1/projects/pace-{kind.name}/predict", {"inputs": [_wire(row) for row in part]}, headers)
            for part in parts
        ]
        return write_tape(path, self.port, questions)


def _inputs(kind: Kind) -> list[tuple[Content, str]]:
    if kind == TEXTS:
        return [(row.text, row.label) for row in read("banking77", "fs_test")[: 4 * ROWS]]
    name = {"image": "hymenoptera", "audio": "fsdd"}[kind.name]
    rows = read_files(kind.name, name, "train")
    return [(row.data, row.label) for row in rows[:: max(1, len(rows) // ROWS)]]


def _wire(row: Content) -> Any:  # Any: JSON
    return row if isinstance(row, str) else {"base64": base64.b64encode(row).decode()}


def _throughput(bed: _Bed, kind: Kind) -> list[Figure]:
    served = bed.served.get(kind.backbone)
    prepared = sorted(served.backbone.prepare(bed.contents(kind)), key=lambda row: row.size)
    tape = bed.tape(kind, A_REQUEST)
    workers = bed.settings.engine_workers
    tried = {batch: _bare(served, prepared, batch, workers, 2.0) for batch in BATCHES}
    batch = max(tried, key=lambda batch: tried[batch])
    bare: list[float] = []
    batched: list[float] = []
    over_http: list[float] = []
    for _ in range(ROUNDS):
        bare.append(_bare(served, prepared, batch, workers, ROUND_S))
        batched.append(_batched(served, prepared, ROUND_S))
        load = drive(Job(bed.port, tape, CONNECTIONS, ROUND_S))
        assert load.failed == 0, "requests failed"
        over_http.append(A_REQUEST * load.rate)
    limit = statistics.median(bare)
    how = f"{workers} passes of {served.engine.name} {served.engine.precision} at a time, {batch} rows each"
    figures = [
        Figure(f"engine alone, {kind.name}", limit, kind.unit, note=how),
        Figure(f"batcher ÷ engine, {kind.name}", statistics.median(batched) / limit, "", BARE, "more"),
        Figure(
            f"HTTP with decoding ÷ engine, {kind.name}",
            statistics.median(over_http) / limit,
            "",
            WITH_DECODING,
            "more",
            f"{statistics.median(over_http):.1f} {kind.unit}, {A_REQUEST} files a request",
        ),
    ]
    if kind == IMAGES:
        plain = _plain_torch(served, prepared, workers)
        figures.append(
            Figure("engine ÷ plain torch, image", limit / plain, "", TORCH, "more", f"{plain:.1f} images/s, fp32")
        )
    return figures


def _bare(served: Served, prepared: Sequence[Prepared], batch: int, workers: int, seconds: float) -> float:
    rows = [row.row for row in prepared]
    parts = [rows[start : start + batch] for start in range(0, len(rows), batch)]

    def share(worker: int) -> None:
        for part in parts[worker::workers]:
            served.engine.run(part)

    with ThreadPoolExecutor(workers) as pool:
        return _pace(lambda: list(pool.map(share, range(workers))), len(rows), seconds)


def _batched(served: Served, prepared: Sequence[Prepared], seconds: float) -> float:
    """All rows by the batcher, as predictions of several tenants would come, without a head."""

    def once() -> None:
        waiting = [
            served.batcher.submit(f"t{number}", list(prepared[number::CONNECTIONS]), None, Lane.INTERACTIVE)
            for number in range(CONNECTIONS)
        ]
        for one in waiting:
            one.result()

    return _pace(once, len(prepared), seconds)


def _plain_torch(served: Served, prepared: Sequence[Prepared], threads: int) -> float:
    """The network as it is published, batch norms and all, at its best batch size."""
    import torch

    from tsugiki.backbones.graph import features_module
    from tsugiki.backbones.inputs import stack

    torch.set_num_threads(threads)
    module = features_module(served.loaded.source)
    _with_norms(module)
    rows = [row.row for row in prepared[: max(BATCHES)]]
    paces: list[float] = []
    with torch.inference_mode():
        for batch in BATCHES:
            pixels = torch.from_numpy(stack(rows[:batch])["pixels"])
            paces.append(_pace(partial(module, pixels), batch, 2.0))
    return max(paces)


def _with_norms(module: torch.nn.Module) -> None:
    import torch

    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Conv2d):
                setattr(parent, name, torch.nn.Sequential(child, torch.nn.BatchNorm2d(child.out_channels).eval()))


def _pace(once: Callable[[], object], rows: int, seconds: float) -> float:
    once()
    done, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds:
        once()
        done += rows
    return done / taken


def _mixed(bed: _Bed) -> list[Figure]:
    """Single inputs, each modality at a share of what it alone is answered: alone, and beside another one."""
    kinds = (TEXTS, IMAGES, SOUNDS)
    tapes = {kind: bed.tape(kind, 1) for kind in kinds}
    most = {kind: drive(Job(bed.port, tapes[kind], 16, ROUND_S)).rate for kind in kinds}
    figures: list[Figure] = []
    for told, share in SHARES.items():
        jobs = {kind: Job(bed.port, tapes[kind], 256, MIXED_S, rate=share * most[kind]) for kind in kinds}
        alone = {kind: drive(job) for kind, job in jobs.items()}
        for kind, other in permutations(kinds, 2):
            with ExitStack() as stack:
                ends = [stack.enter_context(driving(jobs[one])) for one in (kind, other)]
                load, _ = (end() for end in ends)
            grown = _p99(load) / _p99(alone[kind])
            pace = f"{_p99(alone[kind]):.0f} ms alone at {share * most[kind]:.0f} a second"
            name = f"p99 of {kind.name} beside {other.name} ÷ alone, {told} each"
            figures.append(Figure(name, grown, "", GROWN, note=f"{pace}, {load.failed} failed beside it"))
    return figures


def _p99(load: Load) -> float:
    return percentile(load.latencies_ms, 99)
