"""Things made when they are first asked for, once whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """`get` makes the value of a key or waits for whoever makes it; a failure is told to all who waited, and forgotten.

    Thread-safe; making one key never keeps another's callers.
    """

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: dict[K, Future[V]] = {}
        self._values: dict[K, V] = {}  # of those made: to look here takes no lock

    def get(self, key: K) -> V:
        """Blocks while it is made. Raises what making raised."""
        with self._lock:
            future = self._made.get(key)
            mine = future is None
            if future is None:
                future = self._made[key] = Future()
        if mine:
            try:
                value = self._values[key] = self._make(key)
            except BaseException as error:
                with self._lock:
                    del self._made[key]
                future.set_exception(error)
            else:
                future.set_result(value)
        return future.result()

    def ready(self, key: K) -> V | None:
        """The value if it is made; never blocks."""
        return self._values.get(key)

    def values(self) -> list[V]:
        """All that are made."""
        return list(self._values.values())
