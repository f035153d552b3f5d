"""The decoding processes of a service: each reads one file at a time, and may die of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tsugiki.data.decoding import LOOKED_AT, MOST_SECONDS, RATE
from tsugiki.data.decoding.frames import Frame, Garbled, Header, receive, send
from tsugiki.data.decoding.measures import PICTURE_MEASURES, SOUND_MEASURES
from tsugiki.errors import Invalid, Issue, Unavailable

if TYPE_CHECKING:
    from tsugiki.data.decoding.images import View
    from tsugiki.domain import Modality

T = TypeVar("T")
R = TypeVar("R")

SECONDS = 10.0  # a row; the largest pictures and the longest sounds take some 2 s of a slow core
START_S = 30.0  # a process takes 0.2 s; this is for a machine that is busy with something else
MEMORY_BYTES = 3 << 29  # 1.5 GiB of addresses: the largest pictures of each kind were seen to take 0.2 to 1.23
# Left to itself, glibc keeps up to 1 GB of what a large picture took; so large blocks go back when they are freed.
# Blocks below stay, else each small picture would take 0.3 ms longer.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}

# A process reads so many files at most. libsndfile leaks some 3 kB of each damaged OGG: 34 MB until then.
MOST_ROWS = 10_000

Kind = Literal["image", "look", "sound", "listen"]
# Any: numpy's types of scalars
TYPES: dict[Kind, Any] = {"image": np.uint8, "look": np.float32, "sound": np.float32, "listen": np.float32}
PICTURE, SOUND = "image_undecodable", "audio_undecodable"
CODES: dict[Kind, str] = {"image": PICTURE, "look": PICTURE, "sound": SOUND, "listen": SOUND}
FIX = "save the file anew with another program"


class DecoderPool:
    """Up to `processes` of them, started when they are needed. Thread-safe: a call waits for one that is idle.

    A file that kills its process, or takes more than `seconds`, is refused like one that cannot be read; the next call
    has a new process. `close` ends them all; a call after it, or under way, raises Unavailable.
    """

    def __init__(
        self,
        processes: int,
        seconds: float = SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self._processes = processes
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._most_rows = most_rows
        self._free = threading.Semaphore(processes)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._living: set[_Process] = set()
        self._closed = False
        self._helpers = ThreadPoolExecutor(processes, thread_name_prefix="decoding")

    def image(self, data: bytes, view: View) -> NDArray[np.uint8]:
        """As `images.read_image`. Raises Invalid with its codes; Unavailable where no process can be started."""
        return self._ask("image", asdict(view), data)

    def sound(self, data: bytes, rate: int, most_seconds: float) -> NDArray[np.float32]:
        """As `sounds.read_sound`. Raises Invalid with its codes; Unavailable where no process can be started."""
        return self._ask("sound", {"rate": rate, "most_seconds": most_seconds}, data)

    def look(self, data: bytes, modality: Modality) -> dict[str, float]:
        """What the file is like, once it has been read; see `measures`. Raises as the other two."""
        if modality == "image":
            found, names = self._ask("look", asdict(LOOKED_AT), data), PICTURE_MEASURES
        else:
            found, names = self._ask("listen", {"rate": RATE, "most_seconds": MOST_SECONDS}, data), SOUND_MEASURES
        return {name: round(float(value), 4) for name, value in zip(names, found, strict=True)}

    def map(self, read: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """`read` of each, in order, by the calling thread, helped by those of the pool that are idle.

        A call that finds none idle reads alone, so that one with many items keeps no other from its turn. (Threads made
        for each call took 0.3 ms of a core a sound, more than reading it.)
        """
        found: dict[int, R] = {}
        left = deque(range(len(items)))

        def read_on() -> None:
            while True:
                try:
                    place = left.popleft()
                except IndexError:
                    return
                found[place] = read(items[place])

        helping = self._helped(read_on, min(self._processes, len(items)) - 1)
        try:
            read_on()
        finally:
            left.clear()  # where this raised, nobody reads the rest
            wait([helper for helper in helping if not helper.cancel()])
        for helper in helping:
            if not helper.cancelled():
                helper.result()
        return [found[place] for place in range(len(items))]

    def pids(self) -> list[int]:
        """Of the processes that were started and have not been ended."""
        with self._lock:
            return sorted(process.pid for process in self._living)

    def close(self) -> None:
        """Ends all processes; again does nothing."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            self._helpers.shutdown(wait=False)
            for process in self._living.difference(idle):
                process.kill()  # the call that has it sees the end, and clears up
        for process in idle:
            self._end(process)

    def _helped(self, work: Callable[[], None], helpers: int) -> list[Future[None]]:
        try:
            return [self._helpers.submit(work) for _ in range(helpers)]
        except RuntimeError:  # what the library says of an executor that was shut down
            self._check_open()
            raise

    def _ask(self, kind: Kind, parameters: Header, data: bytes) -> NDArray[Any]:
        header = {"kind": kind, **parameters}
        with self._free:
            for _ in range(2):
                try:
                    with self._borrowed() as process:
                        answer = _parse(process.ask(header, data, self._seconds), kind)
                except _Unread:  # killed while it was idle: not the row's fault
                    continue
                except TimeoutError as error:
                    raise _refused(CODES[kind], f"decoding was not done after {self._seconds:g} s", FIX) from error
                except (EOFError, OSError, Garbled) as error:
                    self._check_open()
                    detail = "decoding crashed, or took more memory than it may"
                    raise _refused(CODES[kind], detail, FIX) from error
                if isinstance(answer, Invalid):
                    raise answer
                return answer
        raise Unavailable("decoding processes end before they read a file", code="decoding_unavailable")

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the decoding processes are closed", code="decoding_unavailable")

    @contextmanager
    def _borrowed(self) -> Generator[_Process]:
        process = self._take()
        try:
            yield process
        except BaseException:  # it may be in the middle of a row, so it is of no more use
            self._end(process)
            raise
        process.rows += 1
        self._put_back(process)

    def _take(self) -> _Process:
        while True:
            with self._lock:
                self._check_open()
                process = self._idle.pop() if self._idle else None
            if process is None:
                break
            if process.lives():
                return process
            self._end(process)
        process = _Process(self._memory_bytes)
        with self._lock:
            self._living.add(process)
        if self._closed:  # close() may have looked before
            self._end(process)
            self._check_open()
        return process

    def _put_back(self, process: _Process) -> None:
        with self._lock:
            if not self._closed and process.rows < self._most_rows:
                self._idle.append(process)
                return
        self._end(process)

    def _end(self, process: _Process) -> None:
        with self._lock:
            self._living.discard(process)
        process.end()


class _Unread(Exception):
    """The process ended before it had read the row."""


class _Process:
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

    def ask(self, header: Header, data: bytes, seconds: float) -> Frame:
        """Raises _Unread; TimeoutError; EOFError, OSError or Garbled where it dies or goes mad of the row."""
        deadline = time.monotonic() + seconds
        try:
            send(self._channel, header, data, deadline)
            receive(self._channel, deadline)
        except TimeoutError:
            raise
        except (EOFError, OSError) as error:
            raise _Unread from error
        return receive(self._channel, deadline)

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


def _parse(reply: Frame, kind: Kind) -> NDArray[Any] | Invalid:
    match reply.header:
        case {"code": str(code), "detail": str(detail), "fix": str(fix)}:
            return _refused(code, detail, fix)
        case {"shape": list(), "dtype": str(name)} if name == np.dtype(TYPES[kind]).name:
            try:
                return np.frombuffer(reply.body, TYPES[kind]).reshape(reply.header["shape"])
            except (ValueError, TypeError) as error:
                raise Garbled("the array has not the shape that is said") from error
        case _:
            raise Garbled("the header says neither an array nor why there is none")


def _refused(code: str, detail: str, fix: str) -> Invalid:
    return Invalid(detail, fix=fix, code=code, issues=[Issue(code, "", detail, fix)])
