"""When a job is tried again: after what, how often, and how long it waits in between."""

from __future__ import annotations

from tsugiki.errors import Overloaded, StorageFull, TsugikiError, Unavailable

MAX_ATTEMPTS = 3  # a job that took the process down, or met trouble, this often is given up
PAUSES_S = (2.0, 15.0)  # before the second and the third attempt: a locked store is soon free, a restarted one is back
TROUBLE = (Overloaded, StorageFull, Unavailable)  # what time may heal; anything else would only be met again


class Stopped(TsugikiError):
    """The service is closing: the job goes back to the queue as if this attempt had not begun."""

    code = "stopped"


def stopped() -> Stopped:
    return Stopped("the service is closing; the job goes on after its next start")
