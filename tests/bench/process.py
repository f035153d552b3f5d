"""Processes that are measured: one's own, with the service's threads, and the service, once it is at rest."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from service.command import ENVIRONMENT
from service.launch import family

SILENT = {  # progress bars and advice of libraries, between the bench's own lines
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "TRANSFORMERS_VERBOSITY": "error",
}
REST_S, REST_CPU_S = 1.0, 0.1  # who has used no more in so long does nothing but wait and look
PATIENCE_S = 120.0


def become_served(module: str) -> None:
    """Libraries read their numbers of threads when they load: start anew as `module` if they are not the service's."""
    wanted = os.environ | SILENT | ENVIRONMENT
    if wanted != os.environ:
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], wanted)
    signal.signal(signal.SIGTERM, _leave)


def at_rest(pid: int) -> None:
    """Returns once a service that nobody asks has ended what it does by itself. Raises RuntimeError."""
    deadline, used = time.monotonic() + PATIENCE_S, _cpu_s(pid)
    while time.monotonic() < deadline:
        time.sleep(REST_S)
        before, used = used, _cpu_s(pid)
        if used - before <= REST_CPU_S:
            return
    raise RuntimeError(f"the service was still busy with itself after {PATIENCE_S:g} s")


def busy(seconds: float) -> float:
    """The share of all cores' time that was not idle, while who asks sleeps."""
    idle_before, all_before = _ticks()
    time.sleep(seconds)
    idle, all_ = _ticks()
    return 1.0 - (idle - idle_before) / (all_ - all_before)


def _ticks() -> tuple[int, int]:
    """Of all cores since the start: idle ones, and all."""
    user, nice, system, idle, waiting, *others = map(int, Path("/proc/stat").read_text().split()[1:9])  # proc(5)
    return idle + waiting, user + nice + system + idle + waiting + sum(others)


def _cpu_s(pid: int) -> float:
    """Of a process and its children, so far."""
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # user and system time, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def _leave(number: int, frame: object) -> None:
    """The servers that were started have sessions of their own: leaving the blocks ends them."""
    raise SystemExit(128 + number)
