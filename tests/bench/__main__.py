"""`make bench`: every figure that was promised, measured through the running service."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from service.launch import Running, serving
from tests.bench import (
    adapting,
    audit,
    files,
    fleet,
    gate,
    jobs,
    ladder,
    languages,
    memory,
    pace,
    quality,
    scope,
    training,
    truth,
    workers,
    writes,
)
from tests.bench.figures import Figure, report
from tests.bench.process import become_served

THROUGH_SERVICE: Mapping[str, Callable[[Running], list[Figure]]] = {
    "adapting": adapting.measure,
    "quality": quality.measure,
    "scope": scope.measure,
    "audit": audit.measure,
    "files": files.measure,
    "languages": languages.measure,
    "ladder": ladder.measure,
    "few": ladder.measure_few,
}
IN_HOME: Mapping[str, Callable[[Path], list[Figure]]] = {
    "workers": workers.measure,
    "jobs": jobs.measure,
    "memory": memory.measure,
    "training": training.measure,
    "pace": pace.measure,
    "fleet": fleet.measure,
}
ALONE: Mapping[str, Callable[[], list[Figure]]] = {
    "truth": truth.measure,
    "gate": gate.measure,
    "writes": writes.measure,
}
PARTS = (*THROUGH_SERVICE, *IN_HOME, *ALONE)


def main() -> None:
    """All parts, or those named on the command line."""
    wanted = sys.argv[1:] or PARTS
    if unknown := set(wanted) - set(PARTS):
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    become_served("tests.bench")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="tsugiki-bench-") as folder:
        home = Path(folder)
        if not set(wanted).isdisjoint(THROUGH_SERVICE):
            with serving(home) as running:
                for name in [name for name in THROUGH_SERVICE if name in wanted]:
                    figures += THROUGH_SERVICE[name](running)
        for name in [name for name in IN_HOME if name in wanted]:
            figures += IN_HOME[name](home)
        for name in [name for name in ALONE if name in wanted]:
            figures += ALONE[name]()
    report(figures, Path("bench-results") / "bench.json")


if __name__ == "__main__":
    main()
