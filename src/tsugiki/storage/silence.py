"""Whether a server says anything at all: asked by one thread for all, so that no caller waits to find it out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from psycopg import Connection, Error
from psycopg.errors import ConnectionTimeout

log = logging.getLogger(__name__)

SUSPECT_S = 1.0  # nothing was heard for so long, and somebody waits: time to ask


class Silence:
    """`connect` raises ConnectionTimeout where nobody answers. Thread-safe.

    Who waits for an answer says so (`suspect`), and looks at `known`. It is true from when a connection was asked for
    in vain, and nobody else was answered meanwhile either, until one is made: a statement that takes long is none, and
    neither is a server that refuses.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self.known = False
        self._connect = connect
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
        """Somebody was told nothing by a connection asked for at `since`, a monotonic time."""
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
            while not self._answered() and self._told_nothing(asked_at) and not self._closed:
                self._settled.set()
                asked_at = time.monotonic()
        finally:  # whatever ended it: nobody may be refused for ever
            with self._lock:
                if self.known:
                    log.warning("the database is asked again")
                self.known, self._asking = False, None
                self._settled.set()

    def _told_nothing(self, since: float) -> bool:
        if not self.known and self._heard_at < since:
            log.warning("the database says nothing: what needs it is refused until it does")
            self.known = True
        return self.known

    def _answered(self) -> bool:
        try:
            self._connect().close()
        except ConnectionTimeout:
            return False
        except Error:
            pass  # it is away, restarted or full: then everybody is told so at once
        self.heard()
        return True
