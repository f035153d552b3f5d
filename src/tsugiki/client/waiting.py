"""Watching a job from outside: ask, pause a little longer each time, up to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

FIRST_PAUSE_S = 0.05  # a head is fitted in about as long
LONGEST_PAUSE_S = 2.0
GROWTH = 1.5


class Finishing(Protocol):
    @property
    def finished(self) -> bool: ...


Job = TypeVar("Job", bound=Finishing)


def until_finished(look: Callable[[], Job], timeout_s: float) -> Job:
    """The finished job. Raises TimeoutError after `timeout_s`; the job itself goes on."""
    deadline = time.monotonic() + timeout_s
    pause_s = FIRST_PAUSE_S
    while not (job := look()).finished:
        if time.monotonic() + pause_s > deadline:
            raise TimeoutError(f"not finished after {timeout_s:g} s, and going on: {job}")
        time.sleep(pause_s)
        pause_s = min(pause_s * GROWTH, LONGEST_PAUSE_S)
    return job
