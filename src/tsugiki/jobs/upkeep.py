"""What has to be cleared away from time to time: bytes that no row names, and replies kept long enough."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tsugiki.errors import TsugikiError
from tsugiki.jobs.exporting import WORK
from tsugiki.storage.references import referenced_blobs

if TYPE_CHECKING:
    from tsugiki.storage.blobs import Blobs
    from tsugiki.storage.database import Database
    from tsugiki.storage.idempotency import Idempotency

log = logging.getLogger(__name__)

EVERY_S = 600.0  # blobs are swept an hour after they were orphaned, kept replies a day: minutes do not matter


class Upkeep:
    """A thread that clears up at the start and every `EVERY_S`. A store that is away is tried again the next time."""

    def __init__(self, database: Database, blobs: Blobs, idempotency: Idempotency, stage: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._idempotency = idempotency
        # Nothing of a former process is being staged any more; how often an export was tried must stay known.
        for work in stage.glob(f"*/{WORK}"):
            shutil.rmtree(work, ignore_errors=True)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def clear(self) -> None:
        """Once: orphaned blobs, old replies, and the log's copies of what was erased. Raises Unavailable."""
        self._blobs.sweep(referenced_blobs(self._database))
        self._idempotency.sweep()
        self._database.empty_log()

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self.clear()
            except TsugikiError as error:
                log.warning("clearing up failed: %s", error.detail)
            if self._end.wait(EVERY_S):
                return
