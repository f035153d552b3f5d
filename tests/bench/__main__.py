"""`make bench`: every figure that was promised, measured through the running service."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from service.launch import serving
from tests.bench import adapting, audit, gate, memory, quality, scope, truth, workers
from tests.bench.figures import Figure, report
from tests.bench.process import become_served

PARTS = ("adapting", "quality", "scope", "audit", "workers", "memory", "truth", "gate")


def main() -> None:
    """All parts, or those named on the command line."""
    wanted = sys.argv[1:] or PARTS
    if unknown := set(wanted) - set(PARTS):
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    become_served("tests.bench")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="tsugiki-bench-") as folder:
        home = Path(folder)
        with serving(home) as running:
            if "adapting" in wanted:
                figures += adapting.measure(running)
            if "quality" in wanted:
                figures += quality.measure(running)
            if "scope" in wanted:
                figures += scope.measure(running)
            if "audit" in wanted:
                figures += audit.measure(running)
        if "workers" in wanted:
            figures += workers.measure(home)
        if "memory" in wanted:
            figures += memory.measure(home)
        if "truth" in wanted:
            figures += truth.measure()
        if "gate" in wanted:
            figures += gate.measure()
    report(figures, Path("bench-results") / "bench.json")


if __name__ == "__main__":
    main()
