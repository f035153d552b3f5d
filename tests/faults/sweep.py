"""`make faults`: kills each act of `tests.storage.acts` before every system call that changes the disk. Needs strace.

A point is a call's name and its number within the act (`pwrite64 12`): SQLite's own writes are among them, and so are
the moments within a commit. After each kill the home must be the old one or the new one, whole, with nothing lost that
was acknowledged, and the next process must be able to go on. Then acts whose parts are in a wrong order: each has to be
found out. Prints a table; the exit status is 1 where anything is wrong. Kills only: no power is cut.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.storage.acts import ACTS, FOUND, Act, Fault, begin, furnish
from tests.storage.aftermath import faults, go_on, reopened, state
from tests.storage.making import open_stores

CALLS = (
    *("write", "writev", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate", "rename", "renameat"),
    *("renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
)
CALLED = re.compile(r"(\d+) +(\w+)\(")  # of a line of strace: the thread, and what it called
ATTACHED_S = 10.0


@dataclass
class Swept:
    points: Counter[str] = field(default_factory=Counter[str])  # by call
    states: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])


def main() -> None:
    """All acts and faults, or the acts that are named on the command line."""
    acts: list[Act] = [act for act in ACTS if act in (sys.argv[1:] or ACTS)]
    orders: list[Fault] = [] if sys.argv[1:] else list(FOUND)
    began = time.monotonic()
    logging.disable(logging.ERROR)  # the faults' missing blobs
    with tempfile.TemporaryDirectory(prefix="tsugiki-sweep-") as folder:
        home = _furnished(Path(folder) / "home")
        done = {act: sweep(home, Path(folder) / "copy", act) for act in acts}
        unfound = [fault for fault in orders if not is_found(home, Path(folder) / "copy", fault)]
    table = Table(title=f"Killed at every point, {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}")
    for column in ("act", "points", "the old state", "the new state", "wrong", "calls"):
        table.add_column(column)
    for act, swept in done.items():
        calls = ", ".join(f"{call} {count}" for call, count in swept.points.items())
        numbers = (swept.points.total(), swept.states["old"], swept.states["new"], len(swept.wrong))
        table.add_row(act, *map(str, numbers), calls)
    console = Console(width=140)
    console.print(table)
    console.print(f"wrong orders found out: {len(orders) - len(unfound)} of {len(orders)}")
    wrong = [told for swept in done.values() for told in swept.wrong] + [f"{fault} was not found" for fault in unfound]
    console.print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


def sweep(home: Path, copy: Path, act: Act) -> Swept:
    swept = Swept()
    for at, status in _kills(home, copy, act):
        if status != -signal.SIGKILL:
            swept.wrong.append(f"{act}: {at} was not reached, it ended with {status}")
            continue
        with reopened(copy, act, at) as crash:
            swept.points[at.partition(" ")[0]] += 1
            swept.states[state(crash)] += 1
            found = faults(crash) or go_on(crash)
        swept.wrong += [f"{act}, killed at {at}: {told}" for told in found]
    if set(swept.states) != {"old", "new"}:
        swept.wrong.append(f"{act}: only {set(swept.states)} was left, this proves nothing")
    return swept


def is_found(home: Path, copy: Path, fault: Fault) -> bool:
    for at, _ in _kills(home, copy, fault):
        with reopened(copy, fault, at) as crash:
            if any(FOUND[fault] in told for told in faults(crash)):
                return True
    return False


def _furnished(home: Path) -> Path:
    home.mkdir()
    stores = open_stores(home)
    stores.database.migrate()
    furnish(stores)
    stores.database.close()
    return home


def _kills(home: Path, copy: Path, act: Act | Fault) -> Iterator[tuple[str, int]]:
    """At each point in turn, with `copy` as the kill left it; and the process's exit status."""
    lines, status = _run(home, copy, act, "trace=" + ",".join(CALLS))
    assert status == 0, f"{act} ended with {status} when nobody killed it"
    most: dict[str, int] = {}  # by one thread: strace counts for each, and the first that comes to a number dies of it
    for (_, call), count in Counter(CALLED.findall(lines)).items():
        most[call] = max(count, most.get(call, 0))
    for call, count in most.items():
        for number in range(1, count + 1):
            yield f"{call} {number}", _run(home, copy, act, f"inject={call}:signal=SIGKILL:when={number}")[1]


def _run(home: Path, copy: Path, act: Act | Fault, expression: str) -> tuple[str, int]:
    """What strace wrote, and the exit status of a process that did the act on a fresh copy of the home."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home, copy)
    log = copy.with_suffix(".strace")
    with _held(copy, act) as child:
        command = ["strace", "-f", "-qq", "-o", str(log), "-e", expression, "-p", str(child.pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as strace:
            _attached(child.pid, strace)
            child.go()
            _, status = os.waitpid(child.pid, 0)
    return log.read_text(), os.waitstatus_to_exitcode(status)


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    gate: int

    def go(self) -> None:
        os.write(self.gate, b"x")


@contextmanager
def _held(home: Path, act: Act | Fault) -> Generator[_Child]:
    """A fork of this process, for imports take long, which has begun and waits to be let go."""
    entry, gate = os.pipe()
    began, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            do = begin(home, act)
            os.write(told, b"x")
            os.read(entry, 1)
            acknowledged = do()
            (home / "acknowledged").write_text(acknowledged)
            status = 0
        finally:
            os._exit(status)
    try:
        os.read(began, 1)
        yield _Child(pid, gate)
    finally:
        for handle in (entry, gate, began, told):
            os.close(handle)


def _attached(pid: int, strace: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + ATTACHED_S
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        assert strace.poll() is None and time.monotonic() < deadline, "strace cannot attach: is ptrace allowed?"
        time.sleep(0.002)


if __name__ == "__main__":
    main()
