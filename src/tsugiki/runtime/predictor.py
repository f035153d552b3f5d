"""From inputs to answers: resolve once, prepare row by row, share the pass, read the row's own head."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.text import clean_text
from tsugiki.domain import Prediction
from tsugiki.errors import Invalid, Issue, TsugikiError
from tsugiki.runtime.batcher import Lane
from tsugiki.runtime.directory import Target
from tsugiki.runtime.route import Route

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Project, Version
    from tsugiki.ports import Prepared, Truncate
    from tsugiki.runtime.directory import Directory, Selector
    from tsugiki.runtime.residency import Lease, Residency
    from tsugiki.runtime.served import Served, ServedBackbones

INLINE_CHARS = 4_096  # preparing less than this takes under a millisecond: cheaper than a thread hop


@dataclass(frozen=True, slots=True)
class Answered:
    """A request's answers, all by `target.version` (I3); a bad row holds its error."""

    target: Target
    rows: tuple[Prediction | TsugikiError, ...]

    @property
    def tokens(self) -> int:
        return sum(row.tokens for row in self.rows if isinstance(row, Prediction))


class Predictor:
    """Answers requests for all tenants. `predict` is for the event loop, `probabilities` for the threads of jobs."""

    def __init__(self, directory: Directory, residency: Residency, backbones: ServedBackbones) -> None:
        self._directory = directory
        self._residency = residency
        self._backbones = backbones

    async def predict(
        self, tenant_id: str, ref: str, selector: Selector, inputs: Sequence[object], truncate: Truncate = "END"
    ) -> Answered:
        """Raises NotFound, NoVersion, Overloaded, Unavailable, ArtifactCorrupt; a bad row fails alone."""
        target = self._directory.remembered(tenant_id, ref, selector)
        if target is None:
            target = await asyncio.to_thread(self._directory.resolve, tenant_id, ref, selector)
        served = self._backbones.ready(target.project.backbone)
        if served is None:
            served = await asyncio.to_thread(self._backbones.get, target.project.backbone)
        lease = self._residency.lease_resident(target.version)
        if lease is None:
            lease = await asyncio.to_thread(self._residency.lease, target.version)
        with lease:
            if _characters(inputs) <= INLINE_CHARS:
                pending = _submit(served, target, lease, inputs, truncate, Lane.INTERACTIVE)
            else:
                pending = await asyncio.to_thread(_submit, served, target, lease, inputs, truncate, Lane.INTERACTIVE)
            return _finish(target, pending, await asyncio.wrap_future(pending.replies))

    def probabilities(self, project: Project, version: Version, texts: Sequence[str]) -> Floats:
        """The same answers for a job's thread, in the bulk lane: (texts, classes), columns in label order."""
        target = Target(project, None, version, None)
        served = self._backbones.get(project.backbone)
        with self._residency.lease(version) as lease:
            pending = _submit(served, target, lease, texts, "END", Lane.BULK)
            replies = pending.replies.result()
        for row in (*pending.rows, *replies):
            if isinstance(row, TsugikiError):
                raise row
        return np.stack([reply for reply in replies if not isinstance(reply, TsugikiError)])


@dataclass(frozen=True, slots=True)
class _Pending:
    rows: list[Prepared | TsugikiError]
    replies: Future[list[Floats | TsugikiError]]  # of the good rows, in order


def _submit(
    served: Served, target: Target, lease: Lease, inputs: Sequence[object], truncate: Truncate, lane: Lane
) -> _Pending:
    version = target.version
    route = Route(
        target.project.tenant_id, target.project.id, version.number, version.digest, version.feature_space, lease.slot
    )
    rows = _prepare(served, inputs, truncate)
    good = [row.ids for row in rows if not isinstance(row, TsugikiError)]
    return _Pending(rows, served.batcher.submit(route.tenant_id, good, route, lane))


def _prepare(served: Served, inputs: Sequence[object], truncate: Truncate) -> list[Prepared | TsugikiError]:
    texts: list[str] = []
    rows: list[Prepared | TsugikiError | None] = []
    for index, raw in enumerate(inputs):
        try:
            texts.append(clean_text(raw, f"/inputs/{index}"))
            rows.append(None)
        except Invalid as refused:
            rows.append(refused)
    prepared = iter(served.backbone.prepare(texts) if texts else ())
    return [_fitting(next(prepared), index, truncate) if row is None else row for index, row in enumerate(rows)]


def _fitting(row: Prepared, index: int, truncate: Truncate) -> Prepared | TsugikiError:
    if not row.truncated or truncate == "END":
        return row
    detail = f"the text is longer than the backbone's {len(row.ids)} tokens and truncate is NONE"
    issue = Issue("input_too_long", f"/inputs/{index}", detail, "shorten it, or allow truncate: END")
    return Invalid(detail, code=issue.code, fix=issue.fix, issues=[issue])


def _finish(target: Target, pending: _Pending, replies: Sequence[Floats | TsugikiError]) -> Answered:
    answers = iter(replies)
    rows: list[Prediction | TsugikiError] = []
    for row in pending.rows:
        if isinstance(row, TsugikiError):
            rows.append(row)
            continue
        reply = next(answers)
        rows.append(reply if isinstance(reply, TsugikiError) else _prediction(target, row, reply))
    return Answered(target, tuple(rows))


def _prediction(target: Target, row: Prepared, probabilities: Floats) -> Prediction:
    labels = target.version.labels
    order: list[int] = (-probabilities).argsort(kind="stable").tolist()
    scores = tuple((labels[index], float(probabilities[index])) for index in order)
    label, score = scores[0]
    abstains = target.abstain_below is not None and score < target.abstain_below
    return Prediction(
        outcome="abstain" if abstains else "label",
        label=None if abstains else label,
        score=score,
        scores=scores,
        truncated=row.truncated,
        tokens=len(row.ids),
    )


def _characters(inputs: Sequence[object]) -> int:
    return sum(len(text) for text in inputs if isinstance(text, str))
