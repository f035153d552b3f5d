"""One decoding process, from the side of the service: how it is started, asked and ended; what it says is checked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from math import prod
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from tsugiki.data.decoding.frames import Frame, Garbled, Header, receive, send
from tsugiki.errors import Invalid, Issue, Unavailable

START_S = 30.0  # a process takes 0.2 s; this is for a machine that is busy with something else
# Left to itself, glibc keeps up to 1 GB of what a large picture took; so large blocks go back when they are freed.
# Blocks below stay, else each small picture would take 0.3 ms longer.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}

Kind = Literal["image", "look", "sound", "listen"]
# Any: numpy's types of scalars
TYPES: dict[Kind, Any] = {"image": np.uint8, "look": np.float32, "sound": np.float32, "listen": np.float32}


class Unread(Exception):
    """The process ended before it had read what it was sent."""


class Process:
    """One of them and our end of its socket. Raises Unavailable where it cannot be started."""

    def __init__(self, memory_bytes: int) -> None:
        self.rows = 0  # that it has read
        command = [sys.executable, "-m", "tsugiki.data.decoding.worker", str(memory_bytes)]
        try:
            self._channel, theirs = socket.socketpair()
        except OSError as error:
            raise _not_started(error) from error
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                )
        except OSError as error:
            self._channel.close()
            raise _not_started(error) from error
        try:
            receive(self._channel, time.monotonic() + START_S)
        except (EOFError, OSError, Garbled) as error:
            self.end()
            detail = f"a decoding process did not begin: exit status {self._process.returncode}"
            raise Unavailable(detail, code="decoding_unavailable") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, header: Header, files: Sequence[bytes], seconds: float) -> list[NDArray[Any] | Invalid]:
        """Of each its array or why there is none. Raises Unread; TimeoutError; EOFError, OSError or Garbled where it
        dies or goes mad of a file.
        """
        deadline = time.monotonic() + seconds
        try:
            send(self._channel, {**header, "sizes": list(map(len, files))}, b"".join(files), deadline)
            receive(self._channel, deadline)
        except TimeoutError:
            raise
        except (EOFError, OSError) as error:
            raise Unread from error
        found = answers_in(receive(self._channel, deadline), header["kind"], len(files))
        self.rows += len(files)
        return found

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._channel.close()


def _not_started(error: OSError) -> Unavailable:
    return Unavailable(f"a decoding process could not be started: {error.strerror}", code="decoding_unavailable")


def _environment() -> dict[str, str]:
    # Our own search path is handed on, and nothing else: a packed service finds the core by it, not as a package.
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return os.environ | ALLOCATOR | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def answers_in(reply: Frame, kind: Kind, files: int) -> list[NDArray[Any] | Invalid]:
    """Of each file its array, which lie in the body one after another, or why there is none. Raises Garbled."""
    told = reply.header.get("files")
    if not isinstance(told, list) or len(cast("list[object]", told)) != files:
        raise Garbled(f"the header does not tell of {files} files")
    found: list[NDArray[Any] | Invalid] = []
    place = 0
    for one in cast("list[object]", told):
        match one:
            case {"code": str(code), "detail": str(detail), "fix": str(fix)}:
                found.append(refusal(code, detail, fix))
            case {"shape": list(), "dtype": str(name)} if name == np.dtype(TYPES[kind]).name:
                shape = cast("dict[str, list[int]]", one)["shape"]
                try:
                    array = np.frombuffer(reply.body, TYPES[kind], prod(shape), place).reshape(shape)
                except (ValueError, TypeError, OverflowError) as error:
                    raise Garbled("the array has not the shape that is said") from error
                if list(array.shape) != shape:  # of numbers below 0 numpy makes others
                    raise Garbled("the shape that is said is none")
                place += array.nbytes
                found.append(array)
            case _:
                raise Garbled("the header says neither an array nor why there is none")
    return found


def refusal(code: str, detail: str, fix: str) -> Invalid:
    return Invalid(detail, fix=fix, code=code, issues=[Issue(code, "", detail, fix)])
