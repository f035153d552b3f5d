"""The processes that serve one home: each has a number for as long as it lives, and some work is for one at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Generator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

ALONE = 1  # the number of a process that is the only one
TRAINER = 0  # nobody's number: what waits for whichever process trains at the time
SUFFIX = ".alive"


class Present(Protocol):
    """Where a process stands among those that share a database. Raises Unavailable where that is out of reach."""

    number: int
    processes: int  # how many there are, this one included, as last seen: reading it asks nobody

    def turn(self) -> AbstractContextManager[None]: ...
    def gone(self, numbers: Collection[int]) -> frozenset[int]: ...
    def close(self) -> None: ...


class Presence:
    """The lowest free number, this process's own until it closes or dies.

    A number is a locked file in `folder`: the kernel lets go of it however a process ends, and of nothing earlier.
    `processes` are meant to be there.
    """

    def __init__(self, folder: Path, processes: int = 1) -> None:
        self.processes = processes
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        with self.turn():
            for number in count(ALONE):
                handle = lock(self._file(number), wait=False)
                if handle is not None:
                    self.number, self._handle = number, handle
                    return

    @contextmanager
    def turn(self) -> Generator[None]:
        """One process, and one thread of it, at a time. Blocks; nobody comes by a number meanwhile."""
        with one_at_a_time(self._folder / "turn"):
            yield

    def alive(self) -> frozenset[int]:
        """Numbers of the processes that live, this one's included; to be asked within `turn`."""
        # Looking takes a free number for a moment: outside a turn, a process that starts would believe it taken.
        numbers = {int(path.stem) for path in self._folder.glob(f"*{SUFFIX}")}
        return frozenset(number for number in numbers if number == self.number or self._lives(number))

    def gone(self, numbers: Collection[int]) -> frozenset[int]:
        """Those of them whose processes do not live; to be asked within `turn`."""
        return frozenset(numbers) - self.alive()

    def close(self) -> None:
        """Give the number away: only when nothing of what this process owns runs any more."""
        os.close(self._handle)

    def _lives(self, number: int) -> bool:
        handle = lock(self._file(number), wait=False)
        if handle is not None:
            os.close(handle)
        return handle is None

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}{SUFFIX}"


@contextmanager
def one_at_a_time(path: Path) -> Generator[None]:
    """Waits until no other process, and no other thread of this one, is within such a block of the same file."""
    handle = lock(path, wait=True)
    assert handle is not None, "a lock that is waited for was refused: this is a bug"
    try:
        yield
    finally:
        os.close(handle)


def lock(path: Path, *, wait: bool) -> int | None:
    """A handle that holds the file's lock until it is closed; None if it is held already and not waited for."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle
