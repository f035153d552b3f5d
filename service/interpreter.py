"""The interpreter, which all threads of a process share: who works long in it must not keep requests waiting."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager

TURN_S = 1e-4  # until who waits for the interpreter gets it: of Python's own 5 ms a request may wait ten times


@contextmanager
def giving_way() -> Generator[None]:
    """For a block that creates many long-lived objects, such as a large import.

    The interpreter switches threads more often, garbage collection is off, and what exists at the end is frozen, so
    later collections skip it. Not reentrant.
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
