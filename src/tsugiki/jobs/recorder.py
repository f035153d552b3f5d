"""Writing down what became of a job, also when the store cannot take it at the moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from tsugiki.errors import StorageFull, Unavailable

log = logging.getLogger(__name__)

RETRY_S = 2.0  # nobody tells when a full disk has room again, so it has to be asked

T = TypeVar("T")


class Recorder:
    """Tries a write again while the store is full or away; a job would otherwise look running for ever."""

    def __init__(self, retry_s: float = RETRY_S) -> None:
        self._retry_s = retry_s
        self._closed = threading.Event()

    def insist(self, write: Callable[[], T]) -> T:
        """What `write` returns once the store took it. Raises its StorageFull or Unavailable only when closed."""
        while True:
            try:
                return write()
            except (StorageFull, Unavailable) as error:
                log.warning("a job's state cannot be recorded now: %s", error.detail)
                if self._closed.wait(self._retry_s):
                    raise

    def wait(self, seconds: float) -> bool:
        """Whether it was closed within so many seconds."""
        return self._closed.wait(seconds)

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        """From now on nothing is waited for: what is not recorded is taken up by the next start."""
        self._closed.set()
