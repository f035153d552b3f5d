"""When a job is tried again: after what, how often, and how long it waits in between."""

from __future__ import annotations

from typing import ClassVar

from tsugiki.errors import Overloaded, StorageFull, TsugikiError, Unavailable

MAX_ATTEMPTS = 3  # a job that took the process down, or met trouble, this often is given up
PAUSES_S = (2.0, 15.0)  # before the second and the third attempt: a locked store is soon free, a restarted one is back
NO_MEMORY = ("can't allocate memory", "not enough memory")  # how torch says it of its memory on the processor


class Stopped(TsugikiError):
    """The service is closing: the job goes back to the queue as if this attempt had not begun."""

    code: ClassVar[str] = "stopped"


class OutOfMemory(TsugikiError):
    """There was no memory for what the job needed; another time there may be."""

    code: ClassVar[str] = "out_of_memory"


TROUBLE = (Overloaded, OutOfMemory, StorageFull, Unavailable)  # what time may heal; anything else would be met again


def stopped() -> Stopped:
    return Stopped("the service is closing; the job goes on after its next start")


def told(error: Exception) -> TsugikiError | None:
    """What ended a job, as ours; None where only the log may know more, for the words may be anybody's."""
    if isinstance(error, TsugikiError):
        return error
    lacking = type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in NO_MEMORY)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and lacking):
        return OutOfMemory(
            "there was not enough memory for the adaptation",
            fix="adapt with a lighter method or fewer samples, or give the service more memory",
        )
    return None
