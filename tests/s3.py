"""A server that speaks S3's protocol and keeps its objects in memory: moto's."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.launch import free_port

START_S = 60.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Server:
    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process find it; the credentials are of nobody."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def bucket(self) -> str:
        """The name of a new one."""
        name = f"tsugiki-{uuid.uuid4().hex}"
        httpx.put(f"{self.endpoint}/{name}").raise_for_status()
        return name


@contextmanager
def running(log: Path) -> Generator[Server]:
    """A server on a loopback port until the block ends."""
    port = free_port()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=output,
        )
    server = Server(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                httpx.get(f"{server.endpoint}/moto-api/data.json").raise_for_status()
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(POLL_S)
        yield server
    finally:
        process.terminate()
        process.wait()
