"""How fast pictures and sounds are answered, beside the bare engine; and what one modality's load costs another.

"50 % each" is measured in three ways, single inputs a request, latencies beside another modality ÷ alone:

- *a quarter each*: requests at even times, a quarter of what the modality alone is answered. The machine has half of
  its load, and either modality half of that; as passes hold single rows then, 50 to 60 % of two cores are busy.
- *half of the passes each*: as many callers as half of the passes that run at a time, and each waits for its answer
  before it asks again. The machine is full, and either modality has half of it; no queue grows.
- *a half each*: requests at even times, half of what the modality alone is answered. Two of them ask for all there is,
  and for more where passes hold single rows: queues grow for as long as it lasts, in whatever order they are served.
  It is told, to see that nothing fails and who suffers.

What else the machine does decides such figures: a core that another program has is not free for a pass. So each is
told with how busy the machine was between the rounds.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

import base64
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from service.launch import Running, serving
from service.parts import engines_of, serve_backbones
from service.settings import read_settings
from tests.bench.figures import Figure, tell
from tests.bench.process import busy
from tests.bench.serving.arithmetic import percentile
from tests.bench.serving.driving import Question, drive, driving, write_tape
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
ROUND_S, ROUNDS, TRIAL_S = 5.0, 3, 1.0
MOST_S, MIXED_S, MIXED_ROUNDS = 8.0, 6.0, 3  # of rounds in turn, whose latencies are taken together
LOOKED_S = 0.5  # at what else the machine does, before each load
A_QUARTER, A_HALF, OF_PASSES = "a quarter each", "a half each", "half of the passes each"
BATCHES = (1, 4, 8, 16)
PATIENCE_S = 600.0
BARE, WITH_DECODING, TORCH, GROWN = 0.85, 0.70, 2.0, 2.0


class Kind(NamedTuple):
    name: str
    backbone: str
    unit: str


IMAGES = Kind("image", "efficientnet-lite0", "images/s")
SOUNDS = Kind("audio", "whisper-tiny-en", "clips/s")
TEXTS = Kind("text", "minilm-en", "texts/s")
KINDS = (TEXTS, IMAGES, SOUNDS)


def measure(home: Path) -> list[Figure]:
    """Some ten minutes; each figure is told as soon as it is known."""
    figures: list[Figure] = []
    with (
        serving(home) as running,
        Client(running.url, running.key, timeout_s=PATIENCE_S) as client,
        closing(_Bed(running, client, home)) as bed,
    ):
        for kind in (IMAGES, SOUNDS):
            figures += map(tell, _throughput(bed, kind))
        for told in (A_QUARTER, OF_PASSES, A_HALF):
            figures += map(tell, _mixed(bed, told))
    return figures


class _Bed:
    """A project of each modality, and the engines of the service once more in this process, to be run bare."""

    def __init__(self, running: Running, client: Client, home: Path) -> None:
        self.port = urlsplit(running.url).port or 80
        self.key = running.key
        self.home = home
        self.inputs = {kind: _inputs(kind) for kind in KINDS}
        for kind, rows in self.inputs.items():
            client.projects.create(f"pace-{kind.name}", modality=kind.name)  # pyright: ignore[reportArgumentType]
            client.samples.add(f"pace-{kind.name}", rows)
            done = client.adaptations.wait(client.adaptations.start(f"pace-{kind.name}", method="head"))
            assert done.status == "succeeded", done.problem
        # All rows are asked of the bare batcher at once: on a slow machine more than a service lets wait.
        self.settings = read_settings().model_copy(update={"home": home, "wait_seconds": PATIENCE_S})
        cores = Cores(self.settings.engine_workers, self.settings.engine_threads)
        self.decoder = DecoderPool(self.settings.engine_workers)
        self.served = serve_backbones(
            self.settings, engines_of(self.settings, cores), self.settings.engine_workers, self.decoder
        )

    def close(self) -> None:
        self.served.close()
        self.decoder.close()

    @cached_property
    def most(self) -> dict[Kind, float]:
        """Requests of a single input that each modality alone is answered a second."""
        return {kind: drive(Job(self.port, self.tape(kind, 1), 16, MOST_S)).rate for kind in KINDS}

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
    # The fastest of rounds in turn: one slowed by whatever else the machine did would choose a batch that is none.
    tried = [(_bare(served, prepared, batch, workers, TRIAL_S), batch) for _ in range(ROUNDS) for batch in BATCHES]
    batch = max(tried)[1]
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


def _mixed(bed: _Bed, told: str) -> list[Figure]:
    """Single inputs of each modality: alone, and beside another one."""
    jobs = {kind: _job(bed, kind, told) for kind in KINDS}
    pairs = list(combinations(KINDS, 2))
    latencies_ms: dict[tuple[Kind, Kind], list[float]] = defaultdict(list)  # of the first, beside the second
    failed: Counter[tuple[Kind, Kind]] = Counter()
    elsewhere: list[float] = []
    for _ in range(MIXED_ROUNDS):
        for together in (*((kind,) for kind in KINDS), *pairs):
            elsewhere.append(busy(LOOKED_S))
            with ExitStack() as stack:
                ends = [stack.enter_context(driving(jobs[kind])) for kind in together]
                loads = [end() for end in ends]
            for kind, other, load in zip(together, reversed(together), loads, strict=True):
                latencies_ms[kind, other] += load.latencies_ms
                failed[kind, other] += load.failed
    figures: list[Figure] = []
    for kind, other in (*pairs, *(pair[::-1] for pair in pairs)):
        alone, beside = (percentile(latencies_ms[kind, one], 99) for one in (kind, other))
        mine, theirs = (len(latencies_ms[pair]) / (MIXED_ROUNDS * MIXED_S) for pair in ((kind, other), (other, kind)))
        note = f"{beside:.0f} ÷ {alone:.0f} ms, {mine:.0f} beside {theirs:.0f} a second, {failed[kind, other]} failed, "
        note += f"{100 * statistics.mean(elsewhere):.0f} % busy between"
        name = f"p99 of {kind.name} beside {other.name} ÷ alone, {told}"
        figures.append(Figure(name, beside / alone, "", GROWN, note=note))
    return figures


def _job(bed: _Bed, kind: Kind, told: str) -> Job:
    tape = bed.tape(kind, 1)
    if told == OF_PASSES:
        return Job(bed.port, tape, max(1, bed.settings.engine_workers // 2), MIXED_S)
    share = {A_QUARTER: 0.25, A_HALF: 0.5}[told]
    return Job(bed.port, tape, 256, MIXED_S, rate=share * bed.most[kind])
