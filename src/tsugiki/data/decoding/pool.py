"""Decoder processes, as many as cores: a slow file keeps no other from being read, a deadly one ends none but its own.

The processes are ours and so is what they say (`frames`): no pickle, which would run whatever a decoder that a file has
taken over tells it to.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import numpy as np

from tsugiki.data.decoding import LOOKED_AT, MOST_SECONDS, RATE
from tsugiki.data.decoding.frames import LENGTHS, MOST_BYTES, MOST_HEADER, Broken, Frame, packed
from tsugiki.errors import Invalid, Issue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.data.decoding.images import View
    from tsugiki.domain import Modality

T = TypeVar("T")
R = TypeVar("R")

# A photograph of 50 million pixels takes a second of a core here. What takes longer was made to.
SECONDS = 5.0
START_S = 30.0  # until a process answers for the first time: it loads numpy and the reader first
DECODER = [sys.executable, "-m", "tsugiki.data.decoding.worker"]


class DecoderPool:
    """The Decoder port by `processes` of their own, started when first needed. Thread-safe."""

    def __init__(self, processes: int, seconds: float = SECONDS, command: Sequence[str] = DECODER) -> None:
        self._processes = processes
        self._seconds = seconds
        self._command = list(command)
        self._turn = threading.Condition()
        self._idle: list[_Process] = []
        self._running = 0
        self._closed = False

    def image(self, data: bytes, view: View) -> NDArray[np.uint8]:
        found = self._ask({"read": "image", "kind": "image", "view": asdict(view)}, data)
        return cast("NDArray[np.uint8]", _values(found))

    def sound(self, data: bytes, rate: int, most_seconds: float) -> NDArray[np.float32]:
        found = self._ask({"read": "sound", "kind": "audio", "rate": rate, "most_seconds": most_seconds}, data)
        return cast("NDArray[np.float32]", _values(found))

    def look(self, data: bytes, modality: Modality) -> dict[str, float]:
        if modality == "image":
            header: dict[str, Any] = {"read": "look", "kind": "image", "view": asdict(LOOKED_AT)}
        else:
            header = {"read": "listen", "kind": "audio", "rate": RATE, "most_seconds": MOST_SECONDS}
        measures: dict[str, float] = self._ask(header, data).header["measures"]
        return measures

    def map(self, read: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """By threads of this call: those of several calls take their turns at the processes."""
        if len(items) < 2 or self._processes < 2:
            return [read(item) for item in items]
        with ThreadPoolExecutor(min(self._processes, len(items)), thread_name_prefix="decoding") as threads:
            return list(threads.map(read, items))

    def close(self) -> None:
        """Ends the idle ones now and each of the others once it has answered; what is asked later is refused."""
        with self._turn:
            self._closed = True
            idle, self._idle = self._idle, []
            self._turn.notify_all()
        for process in idle:
            process.end()

    def _ask(self, header: dict[str, Any], data: bytes) -> Frame:  # Any: JSON
        while True:
            process, fresh = self._borrow()
            try:
                reply = process.ask(header, data, START_S + self._seconds if fresh else self._seconds)
            except Broken as broken:
                idle_death = process.died_idle
                self._give_back(process, alive=False)
                if idle_death and not fresh:
                    continue  # it had ended before the file came: another one reads it
                raise _refused(f"{header['kind']}_undecodable", f"reading the file {broken}", "send another") from None
            except BaseException:
                self._give_back(process, alive=False)
                raise
            self._give_back(process, alive=True)
            if (refused := reply.header.get("refused")) is not None:
                raise _refused(*refused)
            return reply

    def _borrow(self) -> tuple[_Process, bool]:
        """The last one used, or one more, or whichever is given back; and whether it is new."""
        with self._turn:
            while not self._idle and self._running >= self._processes and not self._closed:
                self._turn.wait()
            if self._closed:
                raise Invalid("the service is shutting down", code="decoder_closed", fix="send it to another replica")
            if self._idle:
                return self._idle.pop(), False
            self._running += 1
        try:
            return _Process(self._command), True
        except BaseException:
            self._forget()
            raise

    def _give_back(self, process: _Process, *, alive: bool) -> None:
        with self._turn:
            kept = alive and not self._closed
            if kept:
                self._idle.append(process)
                self._turn.notify()
        if not kept:
            process.end()
            self._forget()

    def _forget(self) -> None:
        with self._turn:
            self._running -= 1
            self._turn.notify()


class _Process:
    """One decoder. Not thread-safe."""

    def __init__(self, command: Sequence[str]) -> None:
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        environment = os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
        )
        self._requests = cast(BinaryIO, self._child.stdin)
        self._replies = cast(BinaryIO, self._child.stdout)
        self.died_idle = False  # nothing of the last request had reached it

    def ask(self, header: dict[str, Any], data: bytes, seconds: float) -> Frame:  # Any: JSON
        """Raises Broken, with what became of it."""
        until = time.monotonic() + seconds
        self.died_idle = self._child.poll() is not None
        os.set_blocking(self._requests.fileno(), False)
        for part in packed(header, data):
            self._send(memoryview(part), until)
        header_bytes, data_bytes = LENGTHS.unpack(self._receive(LENGTHS.size, until))
        if header_bytes > MOST_HEADER or data_bytes > MOST_BYTES:
            raise Broken("made its decoder say what nobody understands")
        told = json.loads(bytes(self._receive(header_bytes, until)))
        return Frame(told, bytes(self._receive(data_bytes, until)))

    def end(self) -> None:
        self._child.kill()
        self._child.wait()
        self._requests.close()
        self._replies.close()

    def _send(self, rest: memoryview, until: float) -> None:
        while len(rest):
            self._wait(self._requests, select.POLLOUT, until)
            try:
                written = os.write(self._requests.fileno(), rest)
            except BrokenPipeError:
                raise self._crashed() from None
            rest = rest[written:]

    def _receive(self, size: int, until: float) -> bytearray:
        found = bytearray()
        while len(found) < size:
            self._wait(self._replies, select.POLLIN, until)
            part = os.read(self._replies.fileno(), size - len(found))
            if not part:
                raise self._crashed()
            found += part
        return found

    def _wait(self, stream: BinaryIO, event: int, until: float) -> None:
        waiting = select.poll()
        waiting.register(stream, event)
        if not waiting.poll(max(0.0, 1e3 * (until - time.monotonic()))):
            raise Broken("took too long")

    def _crashed(self) -> Broken:
        return Broken("ended its decoder")


def _values(reply: Frame) -> NDArray[Any]:  # Any: as its dtype says
    return np.frombuffer(reply.data, reply.header["dtype"]).reshape(reply.header["shape"])


def _refused(code: str, detail: str, fix: str) -> Invalid:
    return Invalid(detail, code=code, fix=fix, issues=[Issue(code, "", detail, fix)])
