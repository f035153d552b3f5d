"""How much memory there is, and whether the kernel ends processes for the lack of it. Only Linux tells."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # of a container, its own
# Each counts processes that the kernel ended because memory had run out: those of the machine, those of the container.
OOM_COUNTERS = (Path("/proc/vmstat"), CGROUP / "memory.events", CGROUP / "memory" / "memory.oom_control")


def free_bytes() -> int | None:
    """What this process may still take: of the machine's, its container's and its own limit, the least."""
    return min((limit for limit in (_of_machine(), _of_container(), _of_process()) if limit is not None), default=None)


def oom_kills(counters: Sequence[Path] = OOM_COUNTERS) -> int:
    """A number that rises with each process which the kernel ends for its memory."""
    return sum(_line(path, "oom_kill") or 0 for path in counters)


def _of_machine() -> int | None:
    kib = _line(Path("/proc/meminfo"), "MemAvailable:")
    return None if kib is None else 1024 * kib


def _of_container() -> int | None:
    with suppress(OSError, ValueError):  # "max" is no number: then there is no limit
        return max(0, int((CGROUP / "memory.max").read_text()) - int((CGROUP / "memory.current").read_text()))
    return None


def _of_process() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    with suppress(OSError):
        return max(0, limit - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"))
    return None


def _line(path: Path, name: str) -> int | None:
    """The number behind a name: `oom_kill 3`."""
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] == [name]:
                return int(words[1])
    return None
