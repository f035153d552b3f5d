"""How many event streams are open: each looks at the database again and again for as long as its client likes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from tsugiki.errors import Overloaded

TENANT_STREAMS = 32  # of one worker; each is four small reads a second
RETRY_AFTER_S = 5


class Streams:
    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._turn = threading.Lock()

    def admit(self, tenant_id: str) -> None:
        """Asked before the reply begins. Raises Overloaded. Who asks at the same moment is admitted as well."""
        if self._open[tenant_id] < TENANT_STREAMS:
            return
        raise Overloaded(
            f"{TENANT_STREAMS} event streams of this tenant are open, which is the limit",
            retry_after_s=RETRY_AFTER_S,
            fix="close some of them, or ask for the events as a list",
        )

    @contextmanager
    def opened(self, tenant_id: str) -> Generator[None]:
        """One more, while the block lasts."""
        with self._turn:
            self._open[tenant_id] += 1
        try:
            yield
        finally:
            with self._turn:
                self._open[tenant_id] -= 1
