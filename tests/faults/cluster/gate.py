"""A port in front of a server, which can be closed: whoever is connected is cut off, who comes then is refused."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

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

    def _let_in(self, door: socket.socket) -> None:
        while self._door is door:
            try:
                near, _ = door.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                continue  # closed meanwhile, or the server is away
            with self._lock:
                self._through |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # either side may leave, or be cut off, at any time
            while chunk := source.recv(CHUNK_BYTES):
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        with self._lock:
            self._through.discard(source)
