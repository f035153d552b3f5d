"""Two workers on one port: which of them a connection has reached, as the kernel tells, and one to each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.launch import POLL_S, Running, family
from tests.faults.lives import connect

START_S = 60.0  # by then every worker has started, and the kernel has given each a connection


@dataclass(frozen=True, slots=True)
class Worker:
    """A connection that is kept with one worker."""

    pid: int
    http: httpx.Client


def workers(running: Running) -> list[int]:
    return family(running.pid)[1:]


@contextmanager
def each_worker(running: Running, count: int = 2) -> Generator[list[Worker]]:
    """A connection with each of `count` workers, ready; waits for those that are still to start."""
    deadline = time.monotonic() + START_S
    found: dict[int, httpx.Client] = {}
    with ExitStack() as stack:
        while len(found) < count:
            assert time.monotonic() < deadline, f"workers {list(found)} of {workers(running)} were ready in {START_S} s"
            http = stack.enter_context(connect(running))
            reply = http.get("/readyz")
            if reply.status_code == 200 and (pid := served_by(running, reply)) not in found:
                found[pid] = http
            else:
                http.close()
                time.sleep(POLL_S)
        yield [Worker(pid, http) for pid, http in found.items()]


def served_by(running: Running, reply: httpx.Response) -> int:
    """The worker that holds the other end of the reply's connection. The client must be of this machine."""
    # Both ports: connections with other servers may have either of them.
    ports = (httpx.URL(running.url).port, reply.extensions["network_stream"].get_extra_info("client_addr")[1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(row[9] for row in rows if (_port(row[1]), _port(row[2])) == ports)
    return next(pid for pid in workers(running) if f"socket:[{inode}]" in _handles(pid))


def soon(holds: Callable[[], bool], within_s: float) -> bool:
    """Whether it came to hold in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S / 5)
    return True


def _port(address: str) -> int:
    """Of an address as the kernel writes it: `0100007F:1F90` -> 8080."""
    return int(address.rpartition(":")[2], 16)


def _handles(pid: int) -> set[str]:
    found: set[str] = set()
    for handle in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.add(os.readlink(f"/proc/{pid}/fd/{handle}"))
        except FileNotFoundError:
            continue  # closed meanwhile
    return found
