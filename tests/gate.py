"""A port in front of a server. Closed, it cuts off whoever is connected and refuses who comes; mute, it lets all in,
and nothing gets through.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

from service.launch import free_port

CHUNK_BYTES = 1 << 16


class Gate:
    """Open at first. What it lets through it does not look at."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._lock = threading.Lock()
        self._through: set[socket.socket] = set()
        self._door: socket.socket | None = None
        self._speaking = threading.Event()
        self._speaking.set()
        self.open()

    def open(self) -> None:
        door = socket.create_server(("127.0.0.1", self.port))
        self._door = door
        threading.Thread(target=self._let_in, args=(door,), daemon=True).start()

    def close(self) -> None:
        with self._lock:
            door, self._door = self._door, None
            gone, self._through = self._through, set()
        for one in [*gone, *([] if door is None else [door])]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # closing alone wakes nobody who waits for it
            one.close()

    @contextmanager
    def closed(self) -> Generator[None]:
        self.close()
        try:
            yield
        finally:
            self.open()

    @contextmanager
    def mute(self) -> Generator[None]:
        """What is said meanwhile arrives afterwards."""
        self._speaking.clear()
        try:
            yield
        finally:
            self._speaking.set()

    def _let_in(self, door: socket.socket) -> None:
        while self._door is door:
            try:
                near, _ = door.accept()
            except OSError:
                continue  # closed meanwhile
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # the server is away
                near.close()
                continue
            with self._lock:
                self._through |= {near, far}
            threading.Thread(target=self._join, args=(near, far), daemon=True).start()

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=self._carry, args=(far, near), daemon=True)
        back.start()
        self._carry(near, far)
        back.join()
        with self._lock:
            self._through -= {near, far}
        near.close()
        far.close()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # either side may leave, or be cut off, at any time
            while chunk := source.recv(CHUNK_BYTES):
                self._speaking.wait()
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
