"""A peer: installed into an environment of its own, started on a loopback port, asked the same questions."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from service.command import ENVIRONMENT
from service.launch import family
from tests.bench.serving.targets import Ask

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[4]
INSTALL_S, START_S, END_S, POLL_S = 900.0, 120.0, 15.0, 0.1
TOLD = 200  # characters of a reason


class PeerFailed(Exception):
    """It does not install or does not start; the message is the end of what it said."""


class Start(NamedTuple):
    """What a peer needs to know to make its command."""

    python: Path
    port: int
    folder: Path
    weights: Path
    tenants: int
    threads: int

    @property
    def workers(self) -> int:
        """Processes, where the peer has such: as many as leave each its threads."""
        return max(1, len(os.sched_getaffinity(0)) // self.threads)


@dataclass(frozen=True, slots=True)
class Peer:
    """`requirements` None: it runs in this project's own environment. `ready` answers 200 when it can be asked."""

    name: str
    requirements: str | None
    command: Callable[[Start], Sequence[str]]
    ready: str
    ask: Ask
    note: str
    env: Callable[[Start], Mapping[str, str]] = field(default=lambda start: {})

    def install(self, environments: Path) -> Path:
        """The environment's python; made once, and anew when the requirements change. Raises PeerFailed."""
        return Path(sys.executable) if self.requirements is None else install(HERE / self.requirements, environments)


def install(requirements: Path, environments: Path) -> Path:
    """The python of an environment with them; made once, and anew when they change. Raises PeerFailed."""
    folder = environments / requirements.stem
    wanted = requirements.read_text()
    stamp = folder / "installed.txt"
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        run([sys.executable, "-m", "venv", "--clear", str(folder)], INSTALL_S)
        run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], INSTALL_S)
        stamp.write_text(wanted)
    return python


@contextmanager
def running(peer: Peer, start: Start) -> Generator[int]:
    """Its port, once it is ready. Raises PeerFailed."""
    log = start.folder / "peer.log"
    threads = {name: str(start.threads) for name in ENVIRONMENT if name.endswith("_NUM_THREADS")}
    own = {"BENTOML_HOME": str(start.folder / "bentoml"), "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    env = {**os.environ, **ENVIRONMENT, **threads, **own, **peer.env(start)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(peer.command(start)), cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait(peer, process, start.port, log)
        yield start.port
    finally:
        _end(process)


def _wait(peer: Peer, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}{peer.ready}", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(POLL_S)
    raise PeerFailed(f"did not start: {_reason(log.read_text(errors='replace'))}")


def run(command: Sequence[str], seconds: float) -> None:
    """To its end. Raises PeerFailed, TimeoutExpired."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise PeerFailed(f"{Path(command[0]).name} failed: {_reason(done.stderr or done.stdout)}")


def _reason(log: str) -> str:
    """Its last line that names an error, else its last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|ERROR|Exception)\b", line)]
    return (errors or lines or ["it said nothing"])[-1][:TOLD]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asked to stop, it stops what it started; where it does not in time, all of them are ended."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        for pid in family(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
