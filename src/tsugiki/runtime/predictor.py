"""From inputs to answers: resolve once, prepare row by row, share the pass, read the row's own head."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tsugiki.data.files import file_bytes, told_at
from tsugiki.data.text import clean_text
from tsugiki.domain import Prediction
from tsugiki.errors import Invalid, Issue, TsugikiError, Unavailable
from tsugiki.observed import UNTRACED
from tsugiki.runtime.batcher import Lane
from tsugiki.runtime.directory import Target
from tsugiki.runtime.heads import StaleSlot
from tsugiki.runtime.ranking import prediction_of
from tsugiki.runtime.reading import Reading
from tsugiki.runtime.route import Route

if TYPE_CHECKING:
    from tsugiki.domain import Content, Floats, Modality, Prepared, Project, Version
    from tsugiki.observed import Tracing
    from tsugiki.ports import Truncate
    from tsugiki.runtime.directory import Directory, Selector
    from tsugiki.runtime.residency import Lease, Residency
    from tsugiki.runtime.served import Served, ServedBackbones
    from tsugiki.runtime.tickets import Replies

T = TypeVar("T")

log = logging.getLogger(__name__)

DEADLINE_S = 100.0  # the server's own limit is 120 s, and says nothing: it must never be met
INLINE_CHARS = 1_024  # prepared in 0.5 to 0.6 ms; 4,096 take up to 2.3 ms, too long for the event loop
INLINE_INPUTS = 64  # ditto: so many characters in 64 texts take 0.6 ms, in 1,024 texts 5.9
CHARS_A_TOKEN = 4  # English texts have 4 to 5: hardly one has more tokens than this says
INLINE_SCORES = 2_048  # ditto of building answers


@dataclass(frozen=True, slots=True)
class Answered:
    """A request's answers, all by `target.version` (I3); a bad row holds its error."""

    target: Target
    rows: tuple[Prediction | TsugikiError, ...]
    engine_s: float = 0.0  # the rows' share of the engine's passes
    load_s: float = 0.0  # finding the version and reading its graft, what of it was not in memory

    @property
    def tokens(self) -> int:
        return sum(row.tokens for row in self.rows if isinstance(row, Prediction))


class Predictor:
    """Answers requests for all tenants. `predict` is for the event loop, `probabilities` for the threads of jobs."""

    def __init__(
        self,
        directory: Directory,
        residency: Residency,
        backbones: ServedBackbones,
        *,
        deadline_s: float = DEADLINE_S,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._directory = directory
        self._residency = residency
        self._backbones = backbones
        self._deadline_s = deadline_s
        self._tracing = tracing
        self._reading = Reading()

    async def predict(
        self,
        tenant_id: str,
        ref: str,
        selector: Selector,
        inputs: Sequence[object],
        truncate: Truncate = "END",
        top_k: int | None = None,
    ) -> Answered:
        """The `top_k` best labels of each input, None for all; a bad row fails alone.

        Cancelled, it takes its rows out of the queue and lets go of the head. Raises NotFound, NoVersion, Overloaded,
        Unavailable (also after `deadline_s`), ArtifactCorrupt.
        """
        deadline = asyncio.timeout(self._deadline_s)
        try:
            async with deadline:
                return await self._predict(tenant_id, ref, selector, inputs, truncate, top_k)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise Unavailable(
                f"the inputs could not be answered within {self._deadline_s:g} s",
                fix="send fewer at a time",
                code="deadline_exceeded",
            ) from None

    async def _predict(
        self,
        tenant_id: str,
        ref: str,
        selector: Selector,
        inputs: Sequence[object],
        truncate: Truncate,
        top_k: int | None,
    ) -> Answered:
        target, load_s = self._directory.remembered(tenant_id, ref, selector), 0.0
        if target is None:
            started = time.perf_counter()
            with self._tracing.span("find"):
                target = await asyncio.to_thread(self._find, tenant_id, ref, selector)
            load_s = time.perf_counter() - started
        served = self._backbones.ready_of(target.version)
        if served is None:
            served = await _awaited(self._backbones.of_soon(target.version))
        tokens = _characters(inputs) / CHARS_A_TOKEN if served.backbone.modality == "text" else inf
        served.batcher.check(tenant_id, len(inputs), Lane.INTERACTIVE, tokens)
        with self._tracing.span("prepare", inputs=len(inputs)):
            rows = await self._prepared(tenant_id, served, inputs, truncate)
        good = [row for row in rows if not isinstance(row, TsugikiError)]
        answered, read_s = await self._replies(served, target, good)
        classes = len(target.version.labels)
        if len(good) * min(top_k or classes, classes) <= INLINE_SCORES:
            found = _finish(target, rows, answered, top_k)
        else:
            found = await asyncio.to_thread(_finish, target, rows, answered, top_k)
        return Answered(target, found, answered.engine_s, load_s + read_s)

    async def _prepared(
        self, tenant_id: str, served: Served, inputs: Sequence[object], truncate: Truncate
    ) -> list[Prepared | TsugikiError]:
        if (modality := served.backbone.modality) != "text":
            cleaned = await asyncio.to_thread(_cleaned, inputs, modality)
            read = await self._reading.rows(tenant_id, served.backbone.prepare_each, cleaned.contents)
            return cleaned.rows(read, truncate)
        texts, chars = len(inputs), _characters(inputs)
        if texts <= INLINE_INPUTS and chars <= INLINE_CHARS and served.turns.has_room(texts, chars):
            cleaned = _cleaned(inputs, "text")
            return cleaned.rows(await served.turns.prepare(cleaned.contents) if cleaned.contents else (), truncate)
        return await asyncio.to_thread(_prepare, served, inputs, truncate)

    def _find(self, tenant_id: str, ref: str, selector: Selector) -> Target:
        """What is asked; its graft is being read by the time that who asks is back in the event loop.

        Not before its backbone is there: who reads would wait for it, and keep other grafts from being read.
        """
        target = self._directory.resolve(tenant_id, ref, selector)
        if self._backbones.ready_of(target.version) is not None:
            self._residency.lease_soon(target.version).add_done_callback(_release)
        return target

    async def _replies(self, served: Served, target: Target, rows: Sequence[Prepared]) -> tuple[Replies, float]:
        """And the seconds it took to read the graft, had it gone from memory.

        Rows whose slot turned out to be another graft's are asked once more, at a new slot of the same version.
        """
        answered, read_s = await self._ask(served, target, rows)
        if StaleSlot not in map(type, answered.replies):
            return answered, read_s
        stale = [place for place, reply in enumerate(answered.replies) if isinstance(reply, StaleSlot)]
        log.error("%d rows met a slot that is not their version's; this is a bug", len(stale))
        again, read_again_s = await self._ask(served, target, [rows[place] for place in stale])
        for place, reply in zip(stale, again.replies, strict=True):
            answered.replies[place] = _lost() if isinstance(reply, StaleSlot) else reply
        return answered, read_s + read_again_s

    async def _ask(self, served: Served, target: Target, rows: Sequence[Prepared]) -> tuple[Replies, float]:
        lease, read_s = self._residency.lease_resident(target.version), 0.0
        if lease is None:
            started = time.perf_counter()
            lease = await self._lease(target.version)
            read_s = time.perf_counter() - started
        with lease:
            route = _route(target.project, target.version, lease)
            answered = await served.batcher.ask(route.tenant_id, rows, route, Lane.INTERACTIVE)
        if StaleSlot in map(type, answered.replies):
            self._residency.disown(target.version, lease.placed)
        return answered, read_s

    async def _lease(self, version: Version) -> Lease:
        """A load goes on whoever leaves: a lease that comes for nobody is released when it does."""
        leasing = self._residency.lease_soon(version)
        try:
            return await _awaited(leasing)
        except asyncio.CancelledError:
            leasing.add_done_callback(_release)
            raise

    def close(self) -> None:
        """Once nothing is asked any more."""
        self._reading.close()

    def probabilities(self, project: Project, version: Version, inputs: Sequence[Content]) -> Floats:
        """The same answers for a job's thread, in the bulk lane: (inputs, classes), columns in label order.

        A version with thresholds has as many columns more, one with a scope another (see `HeadBank.probabilities`).
        """
        served = self._backbones.of(version)
        rows = _prepare(served, inputs, "END")
        good = [row for row in rows if not isinstance(row, TsugikiError)]
        with self._residency.lease(version) as lease:
            route = _route(project, version, lease)
            replies = served.batcher.submit(route.tenant_id, good, route, Lane.BULK).result().replies
        if StaleSlot in map(type, replies):
            self._residency.disown(version, lease.placed)
            raise _lost()
        for row in (*rows, *replies):
            if isinstance(row, TsugikiError):
                raise row
        return np.stack([reply for reply in replies if not isinstance(reply, TsugikiError)])


async def _awaited(work: Future[T]) -> T:
    """What comes of `work`, which goes on if who waits leaves. Its failure is then told to nobody, and no error."""
    waiting = asyncio.wrap_future(work)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        waiting.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        raise


def _route(project: Project, version: Version, lease: Lease) -> Route:
    return Route(project.tenant_id, version.feature_space, lease.placed.slot, lease.placed.delta)


def _release(leased: Future[Lease]) -> None:
    if leased.exception() is None:
        leased.result().release()


def _lost() -> Unavailable:
    detail = "what the version needs was not where it should be; the service's log has more"
    return Unavailable(detail, fix="send it again", code=StaleSlot.code)


def _prepare(served: Served, inputs: Sequence[object], truncate: Truncate) -> list[Prepared | TsugikiError]:
    cleaned = _cleaned(inputs, served.backbone.modality)
    return cleaned.rows(served.backbone.prepare_each(cleaned.contents) if cleaned.contents else (), truncate)


@dataclass(frozen=True, slots=True)
class _Cleaned:
    """A request's inputs: what of them can be prepared, in order, and why the others cannot, by their place."""

    modality: Modality
    contents: list[Content] = field(default_factory=list["Content"])
    refused: dict[int, TsugikiError] = field(default_factory=dict[int, TsugikiError])

    def rows(self, prepared: Iterable[Prepared | Invalid], truncate: Truncate) -> list[Prepared | TsugikiError]:
        """`prepared` are of the contents; a row for each input."""
        found = iter(prepared)
        places = range(len(self.contents) + len(self.refused))
        return [
            self.refused[place] if place in self.refused else _fitting(next(found), place, self.modality, truncate)
            for place in places
        ]


def _cleaned(inputs: Sequence[object], modality: Modality) -> _Cleaned:
    clean = clean_text if modality == "text" else partial(file_bytes, modality=modality)
    cleaned = _Cleaned(modality)
    for place, raw in enumerate(inputs):
        try:
            cleaned.contents.append(clean(raw, f"/inputs/{place}"))
        except Invalid as refused:
            cleaned.refused[place] = refused
    return cleaned


def _fitting(row: Prepared | Invalid, place: int, modality: Modality, truncate: Truncate) -> Prepared | TsugikiError:
    if isinstance(row, Invalid):
        return told_at(row, f"/inputs/{place}", modality)
    if not row.truncated or truncate == "END":
        return row
    detail = f"the text is longer than the backbone's {row.size} tokens and truncate is NONE"
    issue = Issue("input_too_long", f"/inputs/{place}", detail, "shorten it, or allow truncate: END")
    return Invalid(detail, code=issue.code, fix=issue.fix, issues=[issue])


def _finish(
    target: Target,
    rows: Sequence[Prepared | TsugikiError],
    answered: Replies,
    top_k: int | None,
) -> tuple[Prediction | TsugikiError, ...]:
    """`answered` is of the good rows, in order."""
    answers = iter(answered.replies)
    found: list[Prediction | TsugikiError] = []
    for row in rows:
        if isinstance(row, TsugikiError):
            found.append(row)
            continue
        reply = next(answers)
        found.append(reply if isinstance(reply, TsugikiError) else prediction_of(target, row, reply, top_k))
    return tuple(found)


def _characters(inputs: Sequence[object]) -> int:
    return sum(len(text) for text in inputs if isinstance(text, str))
