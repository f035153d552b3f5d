"""When a job is tried again: after what, how often, and how long it waits in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tsugiki.errors import OutOfMemory, Overloaded, StorageFull, TsugikiError, Unavailable
from tsugiki.storage.local_files import NO_ROOM

if TYPE_CHECKING:
    from tsugiki.domain import Json

MAX_ATTEMPTS = 3  # a job that took the process down, or met trouble, this often is given up
PAUSES_S = (2.0, 15.0)  # before the second and the third attempt: a locked store is soon free, a restarted one is back
NO_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc", "Failed to allocate memory")
"""How torch and onnxruntime say it of memory on the processor, where they raise no MemoryError."""
NO_MEMORY_FIX = "adapt with a lighter method, smaller hyperparameters or fewer samples, or give the service more memory"


class Stopped(TsugikiError):
    """The service is closing: the job goes back to the queue as if this attempt had not begun."""

    code: ClassVar[str] = "stopped"


TROUBLE = (Overloaded, OutOfMemory, StorageFull, Unavailable)  # what time may heal; anything else would be met again


def stopped() -> Stopped:
    return Stopped("the service is closing; the job goes on after its next start")


def told(error: Exception) -> TsugikiError | None:
    """What ended a job, as ours; None where only the log may know more, for the words may be anybody's."""
    if isinstance(error, TsugikiError):
        return error
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return StorageFull("the disk has no room for the adaptation", fix="free disk space")
    lacking = type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in NO_MEMORY)
    if isinstance(error, MemoryError) or lacking:
        return OutOfMemory("there was not enough memory for the adaptation", fix=NO_MEMORY_FIX)
    return None


def out_of_memory(plan: Json | None, have_bytes: int | None) -> OutOfMemory:
    """With what the plan says is needed and what is free now, as far as either is known."""
    chosen = None if plan is None else next(one for one in plan["candidates"] if one["method"] == plan["chosen"])
    told = ["there was not enough memory for the adaptation"]
    if chosen is not None:
        told.append(f"{chosen['method']} needs about {chosen['peak_bytes'] / 2**20:.0f} MiB beside what serves")
    if have_bytes is not None:
        told.append(f"{have_bytes / 2**20:.0f} MiB are free now")
    return OutOfMemory("; ".join(told), fix=NO_MEMORY_FIX)
