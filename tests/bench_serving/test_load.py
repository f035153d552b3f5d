import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.bench.serving.driving import Question, drive, write_tape
from tests.bench.serving.load import UNSENT, Job

HELD_S = 0.2


class _Handler(BaseHTTPRequestHandler):
    """`/good` tells its time, `/held` takes `HELD_S`, anything else is refused and the connection closed."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/held":
            threading.Event().wait(HELD_S)
        self.send_response(429 if self.path == "/refused" else 200)
        self.send_header("Server-Timing", "total;dur=3, engine;dur=1")
        self.send_header("Content-Length", "2")
        if self.path == "/refused":
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: standard error is the tests'."""


@pytest.fixture
def port() -> Generator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def _tape(folder: Path, port: int, *paths: str) -> str:
    return write_tape(folder / "tape.json", port, [Question(path, {"inputs": ["é"]}) for path in paths])


def test_a_closed_loop_sends_so_many_and_reads_what_comes_back(tmp_path: Path, port: int) -> None:
    load = drive(Job(port, _tape(tmp_path, port, "/good", "/refused"), connections=3, count=10))
    assert sorted(load.records.status) == [200] * 5 + [429] * 5
    assert load.failed == 5
    assert load.overheads_ms == [2.0] * 5


def test_a_closed_loop_ends_by_time_and_counts_what_was_under_way(tmp_path: Path, port: int) -> None:
    load = drive(Job(port, _tape(tmp_path, port, "/held"), connections=2, seconds=HELD_S / 2))
    assert load.records.status == [200, 200]
    assert 0 < load.rate <= 2 / HELD_S


def test_an_open_loop_says_what_it_could_not_send(tmp_path: Path, port: int) -> None:
    load = drive(Job(port, _tape(tmp_path, port, "/held"), connections=2, seconds=HELD_S, rate=50))
    assert len(load.records.status) == 10
    assert load.records.status.count(UNSENT) >= 6
    assert min(load.latencies_ms) >= HELD_S * 1000
