"""What log lines, metrics and traces are told: whom work is for, passes, ends of jobs. Nothing here decides."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Attribute = str | int | float
OURS = {"ours": True}  # a log line's `extra`, where an exception can quote nobody's input: it is written whole


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a piece of work is for.

    `span` is what traces hang on, where they are wanted; its type is theirs. `trace` names the request's for other
    processes, as W3C Trace Context writes it.
    """

    request_id: str | None = None
    job: str | None = None
    span: object | None = None
    trace: str | None = None


NOBODY = Origin()
ORIGIN: ContextVar[Origin] = ContextVar("origin", default=NOBODY)


@contextmanager
def working_for(origin: Origin) -> Generator[None]:
    """What this thread or task does within is for `origin`."""
    token = ORIGIN.set(origin)
    try:
        yield
    finally:
        ORIGIN.reset(token)


class Waiter(NamedTuple):
    """Somebody with rows in a pass, waiting since `queued`, in seconds of the performance counter."""

    origin: Origin
    rows: int
    queued: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of an engine. `began` and `ended` as `Waiter.queued`; `tokens` with padding."""

    backbone: str
    lane: Literal["interactive", "bulk"]
    waiters: tuple[Waiter, ...]
    tokens: int
    began: float
    ended: float
    failed: bool

    @property
    def rows(self) -> int:
        return sum(waiter.rows for waiter in self.waiters)


@dataclass(frozen=True, slots=True)
class JobEnd:
    """What became of an adaptation. `method` is "none" where it came to no version; `seconds` of its last process."""

    status: Literal["succeeded", "failed", "cancelled"]
    method: str = "none"
    seconds: float | None = None
    promoted: bool | None = None


class Tracing(Protocol):
    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
        """A part of the work that ORIGIN names. No attribute holds a caller's words."""
        ...

    def job(self, name: str, job: str, asked: Origin) -> AbstractContextManager[None]:
        """Within, ORIGIN names the job, and the request that asked for it."""
        ...

    def passed(self, told: Pass) -> None: ...


class Untraced:
    """Nobody looks."""

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
        return nullcontext()

    def job(self, name: str, job: str, asked: Origin) -> AbstractContextManager[None]:
        return working_for(Origin(asked.request_id, job, trace=asked.trace))

    def passed(self, told: Pass) -> None:
        """Nothing to do."""


UNTRACED = Untraced()
