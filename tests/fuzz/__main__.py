"""`make fuzz`: damaged pictures and sounds, for a bounded time, through the processes that serve decodes with.

Nothing may come out but a row or a documented refusal, nothing may end a process or take longer than a second, and
memory may not grow. What breaks this is kept in a folder, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.mutation import Mutation, endless
from tsugiki.data.decoding import LOOKED_AT, MOST_SECONDS, RATE
from tsugiki.data.decoding.pool import MOST_ROWS, DecoderPool
from tsugiki.errors import Invalid

SLOW_S = 1.0
SETTLED = 0.25  # of the time: from then on memory is compared
# libsndfile leaks of damaged OGG files until a process has read its last (see the pool), and no more than that.
MOST_GROWTH_BYTES = 64 << 20
CODES = frozenset({"input_empty", "image_undecodable", "image_too_large", "image_too_small"}) | frozenset(
    {"audio_undecodable", "audio_too_long", "audio_silent"}
)
CRASHED = ("crashed", "not done after")  # how the pool says that a process ended of a file


@dataclass
class Told:
    outcomes: Counter[str] = field(default_factory=Counter[str])
    slowest_s: float = 0.0
    settled_bytes: int = 0
    most_bytes: int = 0
    broken: list[str] = field(default_factory=list[str])


def main() -> int:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--seconds", type=float, default=60.0)
    wanted.add_argument("--seed", type=int, default=0)
    given = wanted.parse_args()
    kept = Path(tempfile.mkdtemp(prefix="tsugiki-fuzz-"))
    told = fuzz(given.seconds, given.seed, kept)
    write = sys.stdout.write
    write(f"seed {given.seed}, {given.seconds:g} s, {sum(told.outcomes.values())} files\n")
    for outcome, count in told.outcomes.most_common():
        write(f"  {count:8d}  {outcome}\n")
    grown = told.most_bytes - told.settled_bytes
    write(
        f"slowest {1000 * told.slowest_s:.0f} ms; memory {told.settled_bytes >> 20} MiB, at most {grown >> 20} more\n"
    )
    if grown > MOST_GROWTH_BYTES:
        told.broken.append(f"memory grew by {grown >> 20} MiB")
    for broken in told.broken:
        write(f"BROKEN: {broken}\n")
    if not told.broken:
        kept.rmdir()
    return bool(told.broken)


def fuzz(seconds: float, seed: int, kept: Path) -> Told:
    told = Told()
    pool = DecoderPool(1, most_rows=MOST_ROWS)
    started = time.monotonic()
    try:
        for mutation in endless(seed):
            _one(pool, mutation, told, kept)
            passed = time.monotonic() - started
            if passed > SETTLED * seconds:
                used = _memory(pool)
                told.settled_bytes = told.settled_bytes or used
                told.most_bytes = max(told.most_bytes, used)
            if passed > seconds:
                return told
    finally:
        pool.close()
    raise AssertionError("there is always another file")


def _one(pool: DecoderPool, mutation: Mutation, told: Told, kept: Path) -> None:
    started = time.monotonic()
    why = None
    try:
        if mutation.modality == "image":
            pool.image(mutation.data, LOOKED_AT)
        else:
            pool.sound(mutation.data, RATE, MOST_SECONDS)
        outcome = "read"
    except Invalid as refused:
        outcome = refused.issues[0].code
        if outcome not in CODES or any(word in refused.detail for word in CRASHED):
            why = f"{outcome}: {refused.detail}"
    taken = time.monotonic() - started
    told.outcomes[f"{mutation.kind}: {outcome}"] += 1
    told.slowest_s = max(told.slowest_s, taken)
    if taken > SLOW_S:
        why = f"took {taken:.1f} s"
    if why is not None:
        path = kept / f"{len(told.broken)}-{mutation.kind}"
        path.write_bytes(mutation.data)
        told.broken.append(f"{path}: {why}")


def _memory(pool: DecoderPool) -> int:
    """Resident, of this process and the decoders."""
    total = 0
    for pid in (os.getpid(), *pool.pids()):
        total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


if __name__ == "__main__":
    sys.exit(main())
