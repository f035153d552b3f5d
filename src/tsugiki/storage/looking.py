"""A thread that looks at the database for as long as a process lives, whatever happens to the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tsugiki.errors import TsugikiError

log = logging.getLogger(__name__)

RETRY_S = 1.0  # after a look that failed


class Looking:
    """Runs `watch`, which returns once the event it is given is set; again, after a pause, where it raised.

    `name` is the thread's; `what` cannot be seen meanwhile, says the log.
    """

    def __init__(self, name: str, what: str, watch: Callable[[threading.Event], None]) -> None:
        self._what = what
        self._watch = watch
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._watch(self._closed)
                return
            except TsugikiError as error:
                log.warning("%s cannot be seen now: %s", self._what, error.detail)
            except Exception:
                log.exception("%s cannot be seen now", self._what)
            self._closed.wait(RETRY_S)
