"""Non-interference at size: a thousand tenants' heads, adapters and networks in one storm, each answer judged."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.bench.figures import Figure
from tests.runtime.assembled import assembled
from tests.runtime.storm import Fragile, Judge, Scale, storm
from tests.tiny import tiny_backbone
from tsugiki.runtime.banks import HEAD_OVERHEAD_BYTES, Weight
from tsugiki.runtime.engines.onnx import OnnxEngine

SCALE = Scale(tenants=1_000, at_once=1, moves=500, rows=100_000)
# Room for two in five heads and a few adapters and networks: grafts come and go all the time.
BUDGET = Weight(400 * (HEAD_OVERHEAD_BYTES + 1_200), loras=2 << 20, networks=4 << 20)


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="tsugiki-truth-") as folder:
        tiny = tiny_backbone(Path(folder) / "tiny", Path(folder) / "graphs")
        engine = Fragile(OnnxEngine(tiny, threads=1), tiny)
        with assembled(Path(folder) / "home", tiny, budget=BUDGET, engine=engine) as parts:
            started = time.perf_counter()
            seen = storm(parts, SCALE)
            taken = time.perf_counter() - started
            rows = sum(len(one.texts) for one in seen)
            faults = Judge(parts).faults(seen)
            versions = {(one.tenant, one.answered.target.version.number) for one in seen}
    note = f"{rows:,} rows of {SCALE.tenants:,} tenants by {len(versions):,} versions in {taken:.0f} s"
    return [
        Figure("foreign, mixed or other answers", len(faults), "", 0, note=note),
        Figure("rows judged", rows, "", SCALE.rows, "more"),
    ]
