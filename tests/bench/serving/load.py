"""The load client, a process of its own: `python -m tests.bench.serving.load < job`, records to standard output.

It shares the cores with the server that it measures, so it is cheap: requests are bytes made before, replies are
parsed by httptools and not looked into, one loop holds all connections.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import orjson
import uvloop

GRACE_S = 30.0  # after the end of sending, what is under way may be answered
COUNT_S = 300.0  # for a job of so many requests
LOST, UNSENT = 0, -1  # "statuses": the connection broke or patience ended; no connection was free


@dataclass(frozen=True, slots=True)
class Job:
    """Requests of `tape` (a JSON list of strings) in turn, from `offset` on, again from the start after the last.

    With `rate`, that many a second, whether answered or not, over at most `connections`; without, each connection
    sends its next when the last is answered. With `count`, that many in all, else for `seconds`.
    """

    port: int
    tape: str
    connections: int
    seconds: float = 0.0
    rate: float | None = None
    count: int | None = None
    offset: int = 0


@dataclass(slots=True)
class Records:
    """A request each, in the order of their ends: when due and when answered (s since the start), status, header."""

    due: list[float] = field(default_factory=list[float])
    end: list[float] = field(default_factory=list[float])
    status: list[int] = field(default_factory=list[int])
    timing: list[str] = field(default_factory=list[str])


class _Driver:
    def __init__(self, job: Job, tape: list[bytes]) -> None:
        self._job = job
        self._tape = tape
        self._next = job.offset
        self._left = sys.maxsize if job.count is None else job.count
        self._until = job.seconds if job.count is None else float("inf")
        self._idle: deque[_Connection] = deque()
        self._connections: set[_Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._started = time.perf_counter()
        self.records = Records()

    async def run(self) -> None:
        if self._job.rate is None:
            for _ in range(self._job.connections):
                await self._connect()
            self._started = time.perf_counter()
            for connection in tuple(self._idle):
                self.send_next(connection)
        else:
            await self._pace(self._job.rate)
        try:
            async with asyncio.timeout(self._patience_s()):
                # An answer that is followed by the next request sets the event too: look again.
                while self._under_way or self._opening:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.give_up()

    def _patience_s(self) -> float:
        """A closed loop has yet to run; an open one is over but for what is under way."""
        if self._job.rate is not None:
            return GRACE_S
        return self._job.seconds + GRACE_S if self._job.count is None else COUNT_S

    def send_next(self, connection: _Connection) -> None:
        """In a closed loop a connection's next request; in an open one it becomes idle."""
        if self._job.rate is not None:
            self._idle.append(connection)
        elif self._left > 0 and self.now < self._until:
            self._send(connection, self.now)

    @property
    def now(self) -> float:
        return time.perf_counter() - self._started

    def ended(self, due: float, status: int, timing: str) -> None:
        records = self.records
        records.due.append(due)
        records.end.append(self.now)
        records.status.append(status)
        records.timing.append(timing)
        self._under_way -= status != UNSENT
        self._quiet.set()

    def closed(self, connection: _Connection) -> None:
        """A closed loop keeps its number of connections; an open one opens when it needs."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._job.rate is None and self._left > 0 and self.now < self._until:
            task = asyncio.ensure_future(self._replace())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _pace(self, rate: float) -> None:
        self._started = time.perf_counter()
        for number in range(int(rate * self._job.seconds)):
            due = number / rate
            if (wait := due - self.now) > 0:
                await asyncio.sleep(wait)
            if not self._idle and len(self._connections) < self._job.connections:
                await self._connect()
            if self._idle:
                self._send(self._idle.popleft(), due)
            else:
                self.ended(due, UNSENT, "")

    async def _replace(self) -> None:
        await self._connect()
        self.send_next(self._idle.pop())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._job.port)
        self._connections.add(connection)
        self._idle.append(connection)

    def _send(self, connection: _Connection, due: float) -> None:
        self._under_way += 1
        self._left -= 1
        connection.send(self._tape[self._next % len(self._tape)], due)
        self._next += 1


class _Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time; the methods named `on_` are httptools'."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._due: float | None = None
        self._timing = ""

    def send(self, request: bytes, due: float) -> None:
        self._due, self._timing = due, ""
        self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up()
        self._driver.closed(self)

    def give_up(self) -> None:
        """Who has not answered yet will not count as having answered."""
        if self._due is not None:
            self._driver.ended(self._due, LOST, "")
            self._due = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"server-timing":
            self._timing = value.decode("latin-1")

    def on_message_complete(self) -> None:
        due, self._due = self._due, None
        if due is None:
            return  # given up before
        status, stays = self._parser.get_status_code(), self._parser.should_keep_alive()
        self._driver.ended(due, status, self._timing)
        if stays:
            self._driver.send_next(self)
        else:
            self._transport.close()


async def _main() -> None:
    job = Job(**orjson.loads(sys.stdin.buffer.read()))
    with open(job.tape, "rb") as file:
        tape = [request.encode() for request in orjson.loads(file.read())]
    driver = _Driver(job, tape)
    await driver.run()
    sys.stdout.buffer.write(orjson.dumps(asdict(driver.records)))


if __name__ == "__main__":
    uvloop.run(_main())
