"""What becomes of each attempt at an adaptation, written down whatever state the store is in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tsugiki.errors import Cancelled, Conflict, NotFound, OutOfMemory, StorageFull, TsugikiError, Unavailable
from tsugiki.jobs.attempts import MAX_ATTEMPTS, PAUSES_S, TROUBLE, Stopped, out_of_memory, told
from tsugiki.jobs.memory import free_bytes
from tsugiki.jobs.progress import JobProgress
from tsugiki.jobs.recorder import Recorder
from tsugiki.observed import JobEnd

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Json, Version
    from tsugiki.storage.adaptations import Adaptations

log = logging.getLogger(__name__)


class Ledger:
    """`on_end` hears of each outcome. What a moment's trouble ends is tried again after a pause."""

    def __init__(
        self, adaptations: Adaptations, on_end: Callable[[JobEnd], None], pauses_s: Sequence[float] = PAUSES_S
    ) -> None:
        self._adaptations = adaptations
        self._on_end = on_end
        self._pauses_s = pauses_s
        self._recorder = Recorder()

    @property
    def closed(self) -> bool:
        return self._recorder.closed

    def close(self) -> None:
        """What runs is told to stop at its next look, and nothing more is waited for."""
        self._recorder.close()

    def wait(self, pause_s: float) -> bool:
        """Between two attempts; whether it was closed meanwhile."""
        return self._recorder.wait(pause_s)

    def begin(self, adaptation: Adaptation) -> JobProgress | None:
        """Another attempt; None where there is nothing to do, or nothing to be done about it in this process."""
        try:
            attempt = self._recorder.insist(lambda: self._adaptations.start(adaptation.id))
            if attempt > MAX_ATTEMPTS:
                error = TsugikiError(f"the job ended its process {MAX_ATTEMPTS} times", code="attempts_exhausted")
                if self._adaptations.last_message(adaptation.id).get("code") == OutOfMemory.code:
                    error = self._out_of_memory(adaptation)
                self._fail(adaptation, attempt, error, {})
                return None
        except (Conflict, NotFound):
            return None  # cancelled, or erased with its project, before it began
        except (StorageFull, Unavailable) as error:
            log.warning("adaptation %s is left to the next start: %s", adaptation.id, error.detail)
            return None  # the recorder gives up only when it is closed
        return JobProgress(self._adaptations, adaptation.id, attempt, lambda: self._recorder.closed)

    def succeeded(self, adaptation: Adaptation, version: Version, timings: Json, *, promoted: bool) -> None:
        self._recorder.insist(lambda: self._adaptations.set_timings(adaptation.id, timings))
        self._on_end(JobEnd("succeeded", version.method, timings["total_ms"] / 1000, promoted))

    def failed(self, adaptation: Adaptation, attempt: int, error: Exception, timings: Json) -> float | None:
        """The seconds to wait before another attempt, None when there will be none in this process."""
        cause = told(error)
        if isinstance(cause, Stopped):
            return self._put_back(adaptation, attempt, cause.detail, counted=False)
        if isinstance(cause, TROUBLE) and attempt < MAX_ATTEMPTS:
            log.warning("attempt %d at adaptation %s met trouble: %s", attempt, adaptation.id, cause.detail)
            return self._put_back(adaptation, attempt, f"{cause.detail}; it is tried again", counted=True)
        if cause is not None and (isinstance(cause, Cancelled) or cause.reason == "fenced"):
            self._on_end(JobEnd("cancelled"))
            return None
        if cause is None:
            log.error("adaptation %s failed", adaptation.id, exc_info=error)
            name = type(error).__name__
            cause = TsugikiError(f"the adaptation failed ({name}); the service's log has the reason")
        if isinstance(cause, OutOfMemory):
            cause = self._out_of_memory(adaptation)
        self._fail(adaptation, attempt, cause, timings)
        return None

    def _out_of_memory(self, adaptation: Adaptation) -> OutOfMemory:
        return out_of_memory(self._recorder.insist(lambda: self._adaptations.plan(adaptation.id)), free_bytes())

    def _put_back(self, adaptation: Adaptation, attempt: int, why: str, *, counted: bool) -> float | None:
        """The pause before the next attempt, None if the job has ended meanwhile."""
        try:
            self._recorder.insist(lambda: self._adaptations.put_back(adaptation.id, attempt, why, counted=counted))
        except Conflict:
            self._on_end(JobEnd("cancelled"))
            return None
        return self._pauses_s[attempt - 1] if counted else None

    def _fail(self, adaptation: Adaptation, attempt: int, error: TsugikiError, timings: Json) -> None:
        log.warning("adaptation %s failed: %s", adaptation.id, error.reason)
        try:
            self._recorder.insist(lambda: self._adaptations.fail(adaptation.id, attempt, error.as_data(), timings))
        except Conflict:
            self._on_end(JobEnd("cancelled"))  # or erased with its project, while it was failing
        else:
            self._on_end(JobEnd("failed"))
