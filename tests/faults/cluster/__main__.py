"""`make faults-cluster`: a cluster on this machine, killed at random, then its servers; takes ten minutes."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.bench.figures import Figure, report
from tests.bench.process import become_served

PARTS = ("kills", "restarts", "store", "mute", "hole")


def main() -> None:
    """All parts, or those named."""
    asked = argparse.ArgumentParser(prog="python -m tests.faults.cluster", description=__doc__)
    asked.add_argument("parts", nargs="*", metavar="|".join(PARTS))
    asked.add_argument("--seconds", type=float, default=300.0, help="of killing")
    asked.add_argument("--away", type=float, default=30.0, help="seconds that a server is out of reach")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--logs", type=Path, help="folder that keeps the members' logs")
    given = asked.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    become_served("tests.faults.cluster")
    from tests.faults.cluster import kills, outages
    from tests.faults.cluster.bed import cluster

    signal.signal(signal.SIGTERM, _leave)
    wanted = given.parts or PARTS
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="tsugiki-cluster-") as made:
        folder = Path(made)
        try:
            with cluster(folder) as ready:
                if "kills" in wanted:
                    figures += kills.run(ready, given.seconds, given.seed)
                figures += outages.run(ready, [name for name in wanted if name != "kills"], given.away)
        finally:
            if given.logs is not None:
                given.logs.mkdir(parents=True, exist_ok=True)
                for log in folder.glob("*.log"):
                    (given.logs / log.name).write_bytes(log.read_bytes())
    also = {"seed": given.seed, "seconds": given.seconds, "away_s": given.away, "parts": wanted}
    report(figures, Path("bench-results") / "cluster.json", title="A cluster and its faults", also=also)
    sys.exit(any(figure.kept is False for figure in figures))


def _leave(number: int, frame: object) -> None:
    """The members have sessions of their own: leaving the blocks ends them."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
