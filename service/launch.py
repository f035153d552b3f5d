"""A running service as a context manager, for the demo, the tests and the benchmarks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_S = 180.0  # compiling a backbone's graph at the first start takes some 20 s on two slow cores
POLL_S = 0.05
END_S = 40.0  # longer than the default drain


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answered /readyz; `key` is its admin key."""

    url: str
    key: str
    pid: int


@contextmanager
def serving(
    home: Path, *, port: int | None = None, env: Mapping[str, str] | None = None, log: Path | None = None
) -> Generator[Running]:
    """`python -m service` on a loopback port until the block ends. Raises RuntimeError with the log's end."""
    home.mkdir(parents=True, exist_ok=True)
    log = log or home / "service.log"
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    own = {"TSUGIKI_HOME": str(home), "TSUGIKI_HOST": "127.0.0.1", "TSUGIKI_PORT": str(port)}
    root = Path(__file__).parents[1]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=root,
            env={**os.environ, **own, **(env or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_ready(process, url, log)
        given = (env or {}).get("TSUGIKI_BOOTSTRAP_KEY")
        yield Running(url, given or (home / "bootstrap-key").read_text().strip(), process.pid)
    finally:
        _end(process)


def family(pid: int) -> list[int]:
    """A process and its children, as Linux tells: BentoML's supervisor and the workers that serve."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(POLL_S)
    end = log.read_text(errors="replace")[-4_000:]
    raise RuntimeError(f"the service did not become ready (exit status {process.poll()}); its log ends:\n{end}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, wait, and only then insist: its workers are in groups of their own."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        for pid in family(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
