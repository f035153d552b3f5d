"""`make bench-serving`: what serving costs, each side beside its limit or its peer, measured in turn in one run."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.bench.figures import Figure, report
from tests.bench.process import become_served

PARTS = ("inprocess", "http", "guarantees", "overload", "lora")
RESULTS = Path("bench-results")


def main() -> None:
    """All parts, or those named on the command line; `--quick` takes minutes and says less."""
    arguments = sys.argv[1:]
    become_served("tests.bench.serving")
    quick = "--quick" in arguments
    wanted = [name for name in arguments if name != "--quick"] or PARTS
    if unknown := set(wanted) - set(PARTS):
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are: {', '.join(PARTS)}, and --quick")
    from tests.bench.heads import LARGEST, SEED
    from tests.bench.serving import guarantees, inprocess, lora, over_http, overload
    from tests.bench.serving.bed import FULL, QUICK, bed

    lengths = QUICK if quick else FULL
    parts = {
        "inprocess": inprocess.measure,
        "http": over_http.measure,
        "guarantees": guarantees.measure,
        "overload": overload.measure,
        "lora": lora.measure,
    }
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="tsugiki-bench-") as folder, bed(Path(folder), lengths) as prepared:
        for name in wanted:
            try:
                figures += parts[name](prepared)
            except RuntimeError as error:
                # The other parts' minutes are not to be lost: the table says which part is missing, and why.
                figures.append(Figure(f"{name}: cut short", None, "", note=str(error)[-300:]))
        also = {
            "engine": f"{prepared.core.settings.engine_workers} passes at a time, "
            f"{prepared.core.settings.engine_threads} thread each; peers: one process, torch threads in their notes",
            "lengths": asdict(lengths),
            "texts": f"{len(prepared.texts)} of banking77 fs_test, lower-cased",
            "heads": f"random, 2 to {LARGEST} classes",
            "seed": SEED,
        }
    report(figures, RESULTS / "serving.json", title="Serving, measured", also=also)


if __name__ == "__main__":
    main()
