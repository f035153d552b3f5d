"""The bench's side of the load client: a target, its tape of requests, and what came back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.serving.arithmetic import server_timing
from tests.bench.serving.load import Job, Records

REFUSED = frozenset({429, 503})


@dataclass(frozen=True)
class Load:
    """What a run of the client saw. Latencies are ms from when a request was due."""

    records: Records

    @cached_property
    def good(self) -> list[int]:
        """Which records were answered with 200."""
        return [place for place, status in enumerate(self.records.status) if status == 200]

    @property
    def failed(self) -> int:
        return len(self.records.status) - len(self.good)

    @property
    def rate(self) -> float:
        """Good answers a second, until the last: what is under way at the end is waited for, and counts."""
        return len(self.good) / max(self.records.end) if self.good else 0.0

    @property
    def latencies_ms(self) -> list[float]:
        return [self.ms(place) for place in self.good]

    @property
    def served_ms(self) -> list[float]:
        """The server's own time of each good answer whose header tells it: without the client's wait for a core."""
        timings = [server_timing(self.records.timing[place]) for place in self.good]
        return [found["total"] for found in timings if "total" in found]

    @property
    def overheads_ms(self) -> list[float]:
        """The server's own time of each good answer beyond the engine's, of those whose header tells both."""
        timings = [server_timing(self.records.timing[place]) for place in self.good]
        return [found["total"] - found["engine"] for found in timings if {"total", "engine"} <= found.keys()]

    def ms(self, place: int) -> float:
        return 1000 * (self.records.end[place] - self.records.due[place])


class Question(NamedTuple):
    """One request as data; Any: any JSON."""

    path: str
    body: Any
    headers: Mapping[str, str] = {}
    method: str = "POST"

    def wire(self, port: int) -> str:
        """Whole, as HTTP/1.1 has it."""
        content = json.dumps(self.body)
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", content])


def write_tape(path: Path, port: int, questions: Iterable[Question]) -> str:
    path.write_text(json.dumps([question.wire(port) for question in questions]))
    return str(path)


def drive(job: Job) -> Load:
    """Run the client to its end. Raises RuntimeError with what it said."""
    with driving(job) as load:
        return load()


@contextmanager
def driving(job: Job) -> Generator[Callable[[], Load]]:
    """The client at work while the block runs; the block's value waits for its end."""
    command = [sys.executable, "-m", "tests.bench.serving.load"]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end() -> Load:
        output, errors = client.communicate()
        if client.returncode:
            raise RuntimeError(f"the load client failed: {errors.decode()[-2_000:]}")
        return Load(Records(**json.loads(output)))

    try:
        assert client.stdin is not None
        client.stdin.write(json.dumps(asdict(job)).encode())
        client.stdin.close()
        client.stdin = None  # communicate() would flush what is closed
        yield end
    finally:
        if client.poll() is None:
            client.kill()
            client.wait()
