"""The processes of a cluster: started, killed as a machine's end would, and started again as Kubernetes would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx

from service.launch import END_S, POLL_S

START_S = 120.0
Kind = Literal["serve", "train"]
MODULES: Mapping[Kind, str] = {"serve": "service", "train": "service.trainer"}


@dataclass
class Member:
    """A replica or a trainer; `life` counts its starts. Its lock is held while it is started or killed."""

    name: str
    kind: Kind
    environment: Mapping[str, str]
    log: Path
    url: str = ""  # a replica's
    life: int = 0
    process: subprocess.Popen[bytes] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", MODULES[self.kind]],
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.life += 1

    @property
    def pids(self) -> list[int]:
        """Of it and of all that it started."""
        return [] if self.process is None else descendants(self.process.pid)

    @property
    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        """A trainer is as soon as it lives: its jobs tell."""
        if self.kind == "train" or not self.lives:
            return self.lives
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        with self.lock:
            for pid in self.pids:
                _signal(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.wait()

    def kill_worker(self) -> None:
        """Of a replica, whose supervisor starts another; a life of its own all the same."""
        with self.lock:
            for pid in self.pids[1:2]:
                _signal(pid, signal.SIGKILL)
            self.life += 1

    def stop(self) -> None:
        if self.process is None:
            return
        own = self.pids
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            for pid in own:
                _signal(pid, signal.SIGKILL)
            self.process.wait()


class Restarter:
    """Starts again what has ended, until it is closed."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(POLL_S):
            for member in self._members:
                with member.lock:
                    if not member.lives:
                        member.start()


def until_ready(members: list[Member], within_s: float = START_S) -> float:
    """The seconds it took. Raises RuntimeError with the end of the log of one that is not."""
    began = time.monotonic()
    for member in members:
        while not member.ready:
            if time.monotonic() - began > within_s:
                end = member.log.read_text(errors="replace")[-3_000:]
                raise RuntimeError(f"{member.name} is not ready after {within_s:g} s; its log ends:\n{end}")
            time.sleep(POLL_S)
    return time.monotonic() - began


def descendants(pid: int) -> list[int]:
    """A process and all below it, as Linux tells."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += descendants(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended while we looked
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended with those above it
