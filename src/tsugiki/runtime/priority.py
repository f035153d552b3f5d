"""Passes take the cores that nothing else wants: what is short must not wait for what is long."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

TURN_S = 1e-4  # until who waits for the interpreter gets it: of Python's own 5 ms a request may wait ten times
NICE = 5  # a third of the weight of an ordinary thread in Linux's scheduler: requests are read and answered first


def stand_back() -> None:
    """From now on this thread, and what it starts, lets others go first. Only Linux has priorities by thread.

    One that stands further back, as all of a trainer's do, stays there: to come forward is for root only.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICE, os.getpriority(os.PRIO_PROCESS, thread)))


def standing_back(make: Callable[[], T]) -> T:
    """What `make` makes, in a thread whose own threads stand back: libraries keep theirs to themselves."""
    with ThreadPoolExecutor(1, initializer=stand_back) as pool:
        return pool.submit(make).result()


@contextmanager
def giving_way() -> Generator[None]:
    """Within, one thread makes much that stays, as an import does: others get the interpreter soon after they want it.

    Nor does a search for garbage stop them, then or later: what there is at the end is taken to stay. One at a time.
    """
    turn_s = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        sys.setswitchinterval(turn_s)
