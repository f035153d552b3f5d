"""The end of a worker, in the order that balancers need: readiness falls first, requests are taken for a while yet."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType


def fall_first(draining: threading.Event, notice_s: float) -> None:
    """From now on SIGTERM sets `draining`, and `notice_s` later does what it would have done; a second one at once.

    Who sends requests here learns from a probe that it must not, and until then would meet a closed port. To be called
    from the loop, in the main thread; does nothing where no server heeds the signal.
    """
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    if not callable(before):
        return

    def told(number: int, frame: FrameType | None) -> None:
        again = draining.is_set()
        draining.set()
        if again or not notice_s:
            before(number, frame)
        else:
            loop.call_soon_threadsafe(loop.call_later, notice_s, before, number, None)

    signal.signal(signal.SIGTERM, told)
