"""What has to be cleared away from time to time: bytes that no row names, replies and changes kept long enough."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tsugiki.errors import TsugikiError
from tsugiki.storage.presence import one_at_a_time
from tsugiki.storage.references import erased_owners, referenced_blobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsugiki.storage.blobs import Blobs
    from tsugiki.storage.changes import Changes
    from tsugiki.storage.database import Database
    from tsugiki.storage.idempotency import Idempotency

log = logging.getLogger(__name__)

EVERY_S = 600.0  # blobs are swept an hour after they were orphaned, kept replies a day: minutes do not matter
AGAIN_S = 10.0  # what was erased must be gone within 60 s of its store answering: room for a few tries


class Upkeep:
    """A thread that clears up at the start, every `EVERY_S`, and when woken; `again_s` later if something was left.

    Of the processes of a home, one clears up at a time: it holds the lock of the file `one`.
    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        idempotency: Idempotency,
        changes: Changes,
        one: Path,
        again_s: float = AGAIN_S,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._idempotency = idempotency
        self._changes = changes
        self._one = one
        self._again_s = again_s
        self._closed = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def clear(self) -> bool:
        """Once: blobs of erased projects, orphaned ones, old replies, and the log's copies of what was erased.

        What fails is logged, and no reason to leave out the rest. False if something is left for the next time.
        """
        steps = (self._erase, self._sweep, self._forget, self._database.empty_log)
        with one_at_a_time(self._one):
            return all([_done(step) for step in steps])

    def wake(self) -> None:
        """Clear up now: something was erased, and not all its bytes could be."""
        self._woken.set()

    def close(self) -> None:
        self._closed = True
        self._woken.set()
        self._thread.join()

    def _erase(self) -> bool:
        for owner in erased_owners(self._database, self._blobs.owners()):
            self._blobs.delete_owner(owner)
        return True

    def _sweep(self) -> bool:
        self._blobs.sweep(referenced_blobs(self._database))
        return True

    def _forget(self) -> bool:
        self._idempotency.sweep()
        self._changes.prune()
        return True

    def _run(self) -> None:
        while True:
            self._woken.clear()  # before the work, and before the look at `_closed`: no call is missed
            if self._closed:
                return
            self._woken.wait(EVERY_S if self.clear() else self._again_s)


def _done(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except TsugikiError as error:
        log.warning("clearing up failed: %s", error.detail)
    except Exception:
        # A bug must not end the thread: what is erased later would stay for ever.
        log.exception("clearing up failed")
    return False
