"""The decoding processes of a service: each reads one file at a time, and may die of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tsugiki.data.decoding import LOOKED_AT, MOST_SECONDS, RATE
from tsugiki.data.decoding.frames import Garbled, Header
from tsugiki.data.decoding.measures import PICTURE_MEASURES, SOUND_MEASURES
from tsugiki.data.decoding.process import Kind, Process, Unread, refusal
from tsugiki.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from tsugiki.data.decoding.images import View
    from tsugiki.domain import Modality

T = TypeVar("T")
R = TypeVar("R")

SECONDS = 10.0  # a message; the largest pictures and the longest sounds take some 2 s of a slow core
MEMORY_BYTES = 3 << 29  # 1.5 GiB of addresses: the largest pictures of each kind were seen to take 0.2 to 1.23

# What goes to a process together. Of a short sound the message took as long as reading it, of a picture a hundredth.
PART_FILES, PART_BYTES = 16, 1 << 16

# A process reads so many files at most. libsndfile leaks some 3 kB of each damaged OGG: 34 MB until then.
MOST_ROWS = 10_000

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
        self._idle: list[Process] = []
        self._living: set[Process] = set()
        self._closed = False
        self._helpers = ThreadPoolExecutor(processes, thread_name_prefix="decoding")

    def image(self, data: bytes, view: View) -> NDArray[np.uint8]:
        """As `images.read_image`. Raises Invalid with its codes; Unavailable where no process can be started."""
        return self._alone("image", asdict(view), data)

    def sound(self, data: bytes, rate: int, most_seconds: float) -> NDArray[np.float32]:
        """As `sounds.read_sound`. Raises Invalid with its codes; Unavailable where no process can be started."""
        return self._alone("sound", {"rate": rate, "most_seconds": most_seconds}, data)

    def sounds(self, files: Sequence[bytes], rate: int, most_seconds: float) -> list[NDArray[np.float32] | Invalid]:
        """Each as `sound`, or what that raises; those that are short go to a process together. Raises Unavailable."""
        parameters = {"rate": rate, "most_seconds": most_seconds}
        parts = _parts(files, min(PART_FILES, -(-len(files) // self._processes)))
        found = self.map(lambda part: self._together("sound", parameters, part), parts)
        return [sound for part in found for sound in part]

    def look(self, data: bytes, modality: Modality) -> dict[str, float]:
        """What the file is like, once it has been read; see `measures`. Raises as they do."""
        if modality == "image":
            found, names = self._alone("look", asdict(LOOKED_AT), data), PICTURE_MEASURES
        else:
            found, names = self._alone("listen", {"rate": RATE, "most_seconds": MOST_SECONDS}, data), SOUND_MEASURES
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

    def _alone(self, kind: Kind, parameters: Header, data: bytes) -> NDArray[Any]:
        (found,) = self._ask(kind, parameters, [data])
        if isinstance(found, Invalid):
            raise found
        return found

    def _together(self, kind: Kind, parameters: Header, files: Sequence[bytes]) -> list[NDArray[Any] | Invalid]:
        """By one process; if that dies or is late, nobody knows of which file, and each is asked by itself."""
        try:
            return self._ask(kind, parameters, files)
        except Invalid as refused:
            if len(files) == 1:
                return [refused]
            return [found for file in files for found in self._together(kind, parameters, [file])]

    def _ask(self, kind: Kind, parameters: Header, files: Sequence[bytes]) -> list[NDArray[Any] | Invalid]:
        """Raises Invalid where the process dies or is late; Unavailable."""
        header = {"kind": kind, **parameters}
        with self._free:
            for _ in range(2):
                try:
                    with self._borrowed() as process:
                        return process.ask(header, files, self._seconds)
                except Unread:  # killed while it was idle: not the files' fault
                    continue
                except TimeoutError as error:
                    raise refusal(CODES[kind], f"decoding was not done after {self._seconds:g} s", FIX) from error
                except (EOFError, OSError, Garbled) as error:
                    self._check_open()
                    detail = "decoding crashed, or took more memory than it may"
                    raise refusal(CODES[kind], detail, FIX) from error
        raise Unavailable("decoding processes end before they read a file", code="decoding_unavailable")

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the decoding processes are closed", code="decoding_unavailable")

    @contextmanager
    def _borrowed(self) -> Generator[Process]:
        process = self._take()
        try:
            yield process
        except BaseException:  # it may be in the middle of a file, so it is of no more use
            self._end(process)
            raise
        self._put_back(process)

    def _take(self) -> Process:
        while True:
            with self._lock:
                self._check_open()
                process = self._idle.pop() if self._idle else None
            if process is None:
                break
            if process.lives():
                return process
            self._end(process)
        process = Process(self._memory_bytes)
        with self._lock:
            self._living.add(process)
        if self._closed:  # close() may have looked before
            self._end(process)
            self._check_open()
        return process

    def _put_back(self, process: Process) -> None:
        with self._lock:
            if not self._closed and process.rows < self._most_rows:
                self._idle.append(process)
                return
        self._end(process)

    def _end(self, process: Process) -> None:
        with self._lock:
            self._living.discard(process)
        process.end()


def _parts(files: Sequence[bytes], most: int) -> list[list[bytes]]:
    """In order, each of at most so many files, and of no more than PART_BYTES where it has several."""
    parts: list[list[bytes]] = []
    left = 0
    for file in files:
        left -= len(file)
        if left < 0 or len(parts[-1]) == most:
            parts.append([])
            left = PART_BYTES - len(file)
        parts[-1].append(file)
    return parts
