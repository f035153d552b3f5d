"""Whether a server says anything at all: asked by one thread for all, so that no caller waits to find it out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

SUSPECT_S = 1.0  # nothing was heard for so long, and somebody waits: time to ask


class Silence:
    """`answers` asks `server`, and is false where it says nothing in time; what it says does not matter. Thread-safe.

    Who waits for an answer says so (`suspect`), and looks at `known`. It is true from when somebody asked in vain, and
    nobody else was answered meanwhile either, until one is: an answer that takes long is none, and neither is a server
    that refuses.
    """

    def __init__(self, server: str, answers: Callable[[], bool]) -> None:
        self.known = False
        self._server = server
        self._answers = answers
        self._heard_at = time.monotonic()
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._settled = threading.Event()
        self._closed = False

    def heard(self) -> None:
        """Somebody was answered."""
        self._heard_at = time.monotonic()

    def suspect(self) -> None:
        """Somebody waits. Returns at once."""
        if time.monotonic() - self._heard_at > SUSPECT_S:
            self._ask()

    def unanswered(self, since: float) -> None:
        """Somebody was told nothing, who has asked since `since`, a monotonic time."""
        if self._told_nothing(since):
            self._ask()

    def found(self) -> bool:
        """Whether it is; where it may be and that is being asked, once it is settled."""
        with self._lock:
            asking = self._asking is not None
        if asking and not self.known:
            self._settled.wait()
        return self.known

    def close(self) -> None:
        """Nobody is asked any more; a question that is out may take its time to end."""
        self._closed = True

    def _ask(self) -> None:
        with self._lock:
            if self._asking is None and not self._closed:
                self._settled.clear()
                self._asking = threading.Thread(target=self._run, name="silence", daemon=True)
                self._asking.start()

    def _run(self) -> None:
        try:
            asked_at = time.monotonic()
            while not self._hear() and self._told_nothing(asked_at) and not self._closed:
                self._settled.set()
                asked_at = time.monotonic()
        finally:  # whatever ended it: nobody may be refused for ever
            with self._lock:
                if self.known:
                    log.warning("%s is asked again", self._server)
                self.known, self._asking = False, None
                self._settled.set()

    def _told_nothing(self, since: float) -> bool:
        if not self.known and self._heard_at < since:
            log.warning("%s says nothing: what needs it is refused until it does", self._server)
            self.known = True
        return self.known

    def _hear(self) -> bool:
        if answered := self._answers():
            self.heard()
        return answered
