"""Passes take the cores that nothing else wants: what is short must not wait for what is long."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# Of Linux's: a ninth of the weight of an ordinary thread, so that requests are read and answered first. Beside a flood,
# at 5 and at 10, a lone row was back after 9.3 and 8.2 ms in the median, 24 and 19 at p99 (alone 7.6; 16 and 18), and
# the flood got as much.
NICE = 10


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
