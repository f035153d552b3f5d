"""From inputs to answers on the tiny backbone."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.runtime.assembled import Assembled, assembled
from tests.runtime.grafting import TOLERANCE, features, route
from tests.runtime.wrapping import Wrapping
from tsugiki.backbones import Loaded
from tsugiki.domain import Graft, Policy, Prediction, Version
from tsugiki.errors import ArtifactCorrupt, Invalid, NoVersion, TsugikiError, Unavailable, WrongFeatureSpace
from tsugiki.ports import Adapters, Engine
from tsugiki.runtime.banks import Banks, Weight
from tsugiki.runtime.batcher import Lane
from tsugiki.runtime.directory import Selector
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.heads import StaleSlot
from tsugiki.runtime.predictor import INLINE_CHARS, INLINE_INPUTS, INLINE_SCORES, Answered, Predictor
from tsugiki.runtime.residency import Lease, Residency
from tsugiki.runtime.route import Slot
from tsugiki.runtime.turns import TURN_CHARS

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

LABELS = ("billing", "delivery", "other")
TEXTS = ("the card", "where is my parcel", "i love it", "refund please " * 10)


@pytest.fixture
def parts(tmp_path: Path, tiny: Loaded) -> Iterator[Assembled]:
    with assembled(tmp_path, tiny) as made:
        yield made


def predict(
    parts: Assembled, tenant_id: str, *inputs: object, selector: Selector | None = None, truncate: str = "END"
) -> tuple[Prediction | TsugikiError, ...]:
    asked = parts.predictor.predict(
        tenant_id, "support", selector or Selector(), inputs, "NONE" if truncate == "NONE" else "END"
    )
    return asyncio.run(asked).rows


def test_each_row_answers_as_its_version_alone(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    versions = [parts.publish(project, LABELS, seed) for seed in (1, 2)]
    for version in versions:
        rows = predict(parts, project.tenant_id, *TEXTS, selector=Selector(version=version.number))
        for text, row in zip(TEXTS, rows, strict=True):
            assert isinstance(row, Prediction)
            alone = dict(zip(LABELS, parts.alone(version, text).tolist(), strict=True))
            assert dict(row.scores) == pytest.approx(alone, abs=TOLERANCE)
            assert (row.label, row.score) == row.scores[0]


def test_scores_are_best_first_and_sum_to_one(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    parts.publish(project, [f"label {number}" for number in range(40)], 1)
    (row,) = predict(parts, project.tenant_id, "the card")
    assert isinstance(row, Prediction)
    scores = [score for _, score in row.scores]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=TOLERANCE)
    assert len({label for label, _ in row.scores}) == 40


def test_a_bad_row_fails_alone_and_in_its_place(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    parts.publish(project, LABELS, 1)
    bad: list[object] = ["", None, 3, {"url": "http://127.0.0.1/"}, "nul \0", "x" * 65_537, {"base64": "AAAA"}]
    codes = ["input_empty", "input_missing", "input_invalid", "url_forbidden", "input_invalid", "input_too_long"]
    rows = predict(parts, project.tenant_id, "the card", *bad, "a parcel")
    assert isinstance(rows[0], Prediction)
    assert isinstance(rows[-1], Prediction)
    refused = [row for row in rows[1:-1] if isinstance(row, Invalid)]
    assert [row.reason for row in refused] == [*codes, "input_invalid"]
    assert [row.issues[0].pointer for row in refused] == [f"/inputs/{index}" for index in range(1, 8)]


def test_a_long_text_is_cut_and_says_so_or_is_refused(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    parts.publish(project, LABELS, 1)
    long = "card " * 200
    (cut,) = predict(parts, project.tenant_id, long)
    assert isinstance(cut, Prediction)
    assert (cut.truncated, cut.tokens) == (True, 64)
    refused, short = predict(parts, project.tenant_id, long, "card", truncate="NONE")
    assert isinstance(refused, Invalid)
    assert refused.reason == "input_too_long"
    assert isinstance(short, Prediction)


def test_a_large_request_answers_as_small_ones(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    version = parts.publish(project, LABELS, 1)
    texts = [f"{text} {number}" for number in range(80) for text in TEXTS]
    assert sum(map(len, texts)) > INLINE_CHARS
    rows = predict(parts, project.tenant_id, *texts)
    for number in range(0, len(texts), 23):
        row = rows[number]
        assert isinstance(row, Prediction)
        alone = dict(zip(LABELS, parts.alone(version, texts[number]).tolist(), strict=True))
        assert dict(row.scores) == pytest.approx(alone, abs=TOLERANCE)


class Counting(ThreadPoolExecutor):
    """Counts what is given to its threads."""

    given = 0

    def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
        self.given += 1
        return super().submit(*arguments, **named)


def test_only_few_and_short_texts_are_prepared_in_the_event_loop(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    parts.publish(project, LABELS, 1)
    predict(parts, project.tenant_id, "a")  # from now on it is in memory

    async def threads_of(*requests: Sequence[str]) -> int:
        pool = Counting(2)
        asyncio.get_running_loop().set_default_executor(pool)
        ask = partial(parts.predictor.predict, project.tenant_id, "support", Selector())
        await asyncio.gather(*map(ask, requests))
        return pool.given

    assert asyncio.run(threads_of(["a"] * INLINE_INPUTS)) == 0
    assert asyncio.run(threads_of(["a"] * (INLINE_INPUTS + 1))) == 1
    assert asyncio.run(threads_of(["a" * (INLINE_CHARS + 1)])) == 1
    many = TURN_CHARS // INLINE_CHARS
    assert asyncio.run(threads_of(*[["a" * INLINE_CHARS]] * many)) == 0
    assert asyncio.run(threads_of(*[["a" * INLINE_CHARS]] * (many + 1))) == 1


def test_what_lies_beyond_the_scope_gets_no_label_but_its_scores(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    version = parts.publish(project, LABELS, 1, reach=0.0)
    (out,) = predict(parts, project.tenant_id, "the card")
    assert isinstance(out, Prediction)
    assert (out.outcome, out.label) == ("out_of_scope", None)
    assert out.familiarity is not None
    assert out.familiarity < 0
    alone = dict(zip(LABELS, parts.alone(version, "the card").tolist(), strict=True))
    assert dict(out.scores) == pytest.approx(alone, abs=TOLERANCE)
    assert out.score == out.scores[0][1]
    parts.publish(project, LABELS, 1, reach=1e6)
    (inside,) = predict(parts, project.tenant_id, "the card")
    assert isinstance(inside, Prediction)
    assert (inside.outcome, inside.label) == ("label", inside.scores[0][0])
    assert inside.familiarity is not None
    assert inside.familiarity > 0


def test_a_job_gets_the_margins_to_the_scope_as_well(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    version = parts.publish(project, LABELS, 1, reach=50.0)
    found = parts.predictor.probabilities(project, version, TEXTS)
    assert found.shape == (len(TEXTS), len(LABELS) + 1)
    head = parts.registry.graft(version).head
    rows = np.stack([parts.engine.run([prepared.row])[0] for prepared in parts.tiny.backbone.prepare(TEXTS)])
    nearest = ((rows[:, None] - head.weight) ** 2).sum(axis=2).min(axis=1)
    assert np.allclose(found[:, -1], 50.0 - nearest, atol=1e-3)


def test_a_job_gets_the_same_probabilities(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    version = parts.publish(project, LABELS, 1)
    found = parts.predictor.probabilities(project, version, TEXTS)
    assert np.allclose(found, np.stack([parts.alone(version, text) for text in TEXTS]), atol=TOLERANCE)


def test_no_version_and_a_foreign_space_are_told(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    with pytest.raises(NoVersion):
        predict(parts, project.tenant_id, "the card")
    parts.publish(project, LABELS, 1, space="fsp_of_another_backbone")
    with pytest.raises(WrongFeatureSpace):
        predict(parts, project.tenant_id, "the card")
    parts.publish(project, LABELS, 2)
    assert isinstance(predict(parts, project.tenant_id, "the card")[0], Prediction)


def test_low_scores_abstain_where_the_project_asks_for_precision(parts: Assembled) -> None:
    project = parts.project("support", "acme", Policy(abstain_precision=0.95))
    parts.publish(project, LABELS, 1)
    rows = predict(parts, project.tenant_id, *[f"{text} {n}" for text in TEXTS for n in range(20)])
    found = [row for row in rows if isinstance(row, Prediction)]
    assert {row.outcome for row in found} == {"label", "abstain"}
    for row in found:
        assert (row.outcome == "abstain") == (row.score < 0.9) == (row.label is None)


def test_a_request_that_is_cancelled_leaves_its_head_free_to_go(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    version = parts.publish(project, LABELS, 1)
    texts = [f"{TEXTS[3]} {number}" for number in range(1_000)]

    async def leave() -> None:
        asked = asyncio.create_task(parts.predictor.predict(project.tenant_id, "support", Selector(), texts))
        served = parts.backbones.get("tiny")
        while not served.batcher.waiting:
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    asyncio.run(leave())
    served = parts.backbones.get("tiny")
    (prepared,) = served.backbone.prepare(["the card"])
    served.batcher.submit(project.tenant_id, [prepared], None, Lane.INTERACTIVE).result(30)
    parts.residency.forget(project.id)
    assert parts.residency.resident_grafts == 0
    assert parts.residency.lease_resident(version) is None
    assert isinstance(predict(parts, project.tenant_id, "the card")[0], Prediction)


def slot_of(parts: Assembled, version: Version) -> Slot:
    with parts.residency.lease(version) as lease:
        return lease.placed.slot


def is_right(parts: Assembled, version: Version, text: str, row: Prediction | TsugikiError) -> bool:
    alone = parts.alone(version, text).tolist()
    return isinstance(row, Prediction) and dict(row.scores) == pytest.approx(
        dict(zip(version.labels, alone, strict=True)), abs=TOLERANCE
    )


def test_rows_whose_slot_was_given_to_another_head_are_asked_anew(parts: Assembled) -> None:
    mine, theirs = (parts.project("support", tenant) for tenant in ("acme", "other"))
    my_version, their_version = parts.publish(mine, LABELS, 1), parts.publish(theirs, LABELS, 2)
    lost = slot_of(parts, my_version)
    parts.backbones.get("tiny").banks.heads.free(lost)
    given = slot_of(parts, their_version)
    assert (given.page, given.start) == (lost.page, lost.start)
    assert all(
        is_right(parts, my_version, text, row)
        for text, row in zip(TEXTS, predict(parts, mine.tenant_id, *TEXTS), strict=True)
    )
    assert is_right(parts, their_version, TEXTS[0], predict(parts, theirs.tenant_id, TEXTS[0])[0])
    assert slot_of(parts, their_version) == given


class Losing(Residency):
    """The fault: every slot is given away as soon as it is leased."""

    def __init__(
        self, banks_of: Callable[[Version], Banks], graft_of: Callable[[Version], Graft], budget: Weight
    ) -> None:
        super().__init__(banks_of, graft_of, budget)
        self._banks = banks_of

    def lease_soon(self, version: Version) -> Future[Lease]:
        leasing = super().lease_soon(version)
        self._banks(version).heads.free(leasing.result().placed.slot)
        return leasing


def test_a_head_that_is_lost_again_is_refused_and_never_guessed(tmp_path: Path, tiny: Loaded) -> None:
    with assembled(tmp_path, tiny, make_residency=Losing) as parts:
        project = parts.project("support", "acme")
        version = parts.publish(project, LABELS, 1)
        (row,) = predict(parts, project.tenant_id, "the card")
        assert isinstance(row, Unavailable)
        with pytest.raises(Unavailable):
            parts.predictor.probabilities(project, version, TEXTS)


def test_a_request_that_leaves_during_a_cold_load_gives_the_head_back(tmp_path: Path, tiny: Loaded) -> None:
    entered, opened = threading.Semaphore(0), threading.Event()

    def slow(banks_of: Callable[[Version], Banks], graft_of: Callable[[Version], Graft], budget: Weight) -> Residency:
        def held(version: Version) -> Graft:
            entered.release()
            assert opened.wait(30)
            return graft_of(version)

        return Residency(banks_of, held, budget)

    async def leave(parts: Assembled, tenant_id: str) -> None:
        asked = asyncio.create_task(parts.predictor.predict(tenant_id, "support", Selector(), TEXTS))
        assert await asyncio.to_thread(entered.acquire, timeout=30)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        opened.set()

    with assembled(tmp_path, tiny, make_residency=slow) as parts:
        project = parts.project("support", "acme")
        version = parts.publish(project, LABELS, 1)
        asyncio.run(leave(parts, project.tenant_id))
        parts.residency.close()  # the load has come to its end
        slot = slot_of(parts, version)
        parts.residency.forget(project.id)
        space = tiny.backbone.space
        (found,) = parts.backbones.get("tiny").banks.heads.probabilities(
            [route(slot, space.id)], features(1, space.dim)
        )
        assert isinstance(found, StaleSlot), "nobody holds it, so it was freed"


class Asked(Residency):
    """Tells how often it was asked for what is not in memory."""

    def __init__(
        self, banks_of: Callable[[Version], Banks], graft_of: Callable[[Version], Graft], budget: Weight
    ) -> None:
        super().__init__(banks_of, graft_of, budget)
        self.soon = threading.Semaphore(0)

    def lease_soon(self, version: Version) -> Future[Lease]:
        leasing = super().lease_soon(version)
        self.soon.release()
        return leasing


@pytest.mark.parametrize("leaves", [True, False])
def test_a_cold_load_that_fails_for_nobody_is_no_error(tmp_path: Path, tiny: Loaded, leaves: bool) -> None:
    opened = threading.Event()
    unheard: list[str] = []

    def failing(banks_of: Callable[[Version], Banks], graft_of: Callable[[Version], Graft], budget: Weight) -> Asked:
        def corrupt(version: Version) -> Graft:
            assert opened.wait(30)
            raise ArtifactCorrupt(f"version {version.number} is not what it was")

        return Asked(banks_of, corrupt, budget)

    async def ask(parts: Assembled, tenant_id: str) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(str(context["message"])))
        residency = parts.residency
        assert isinstance(residency, Asked)
        asked = asyncio.create_task(parts.predictor.predict(tenant_id, "support", Selector(), TEXTS))
        for _ in ("as it is found", "by the request itself"):
            assert await asyncio.to_thread(residency.soon.acquire, timeout=30)
        if leaves:
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        opened.set()
        await asyncio.to_thread(residency.close)
        if not leaves:
            with pytest.raises(ArtifactCorrupt):
                await asked
        await asyncio.sleep(0)  # what the load told the loop
        del asked
        gc.collect()

    with assembled(tmp_path, tiny, make_residency=failing) as parts:
        project = parts.project("support", "acme")
        parts.publish(project, LABELS, 1)
        parts.backbones.get("tiny")  # or it would not be asked for before its backbone is there
        asyncio.run(ask(parts, project.tenant_id))
    assert unheard == []


class Gated(Wrapping):
    """A real engine: no pass begins while it is not open."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.open = threading.Event()
        self.open.set()
        self.passes = 0

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        assert self.open.wait(30)
        self.passes += 1
        return self.inner.run(rows, adapters, at_once=at_once)


def test_a_request_that_takes_too_long_is_told_so_and_leaves_the_queue(tmp_path: Path, tiny: Loaded) -> None:
    engine = Gated(OnnxEngine(tiny, threads=1))
    soon = partial(Predictor, deadline_s=0.2)
    try:
        with assembled(tmp_path, tiny, engine=engine, make_predictor=soon) as parts:
            project = parts.project("support", "acme")
            parts.publish(project, LABELS, 1)
            parts.backbones.get("tiny")
            engine.open.clear()
            passes = engine.passes
            with pytest.raises(Unavailable) as raised:
                predict(parts, project.tenant_id, *[f"card {number}" for number in range(300)])
            assert raised.value.reason == "deadline_exceeded"
            assert raised.value.retry_after_s > 0
            engine.open.set()
    finally:
        engine.open.set()
    assert engine.passes <= passes + 3, "what was on its way; closing found nothing else to answer"


def cold(home: Path, tiny: Loaded, engine: Gated, opened: threading.Event) -> AbstractContextManager[Assembled]:
    """Grafts are read once `opened`, and the backbone is loaded once the engine is open."""

    def slow(banks_of: Callable[[Version], Banks], graft_of: Callable[[Version], Graft], budget: Weight) -> Residency:
        def held(version: Version) -> Graft:
            assert opened.wait(30)
            return graft_of(version)

        return Residency(banks_of, held, budget)

    return assembled(home, tiny, engine=engine, make_residency=slow)


def test_requests_that_wait_for_a_cold_version_keep_nobody_else_from_a_thread(tmp_path: Path, tiny: Loaded) -> None:
    engine, opened = Gated(OnnxEngine(tiny, threads=1)), threading.Event()
    engine.open.clear()

    async def ask(parts: Assembled, tenant_id: str) -> list[Answered]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        asked = [
            asyncio.create_task(parts.predictor.predict(tenant_id, "support", Selector(), TEXTS)) for _ in range(8)
        ]
        for gate in (engine.open, opened):
            for _ in range(20):  # each request has come as far as it can
                await asyncio.wait_for(asyncio.to_thread(int), 30)
            assert not any(one.done() for one in asked)
            gate.set()
        return await asyncio.gather(*asked)

    try:
        with cold(tmp_path, tiny, engine, opened) as parts:
            project = parts.project("support", "acme")
            version = parts.publish(project, LABELS, 1)
            for answered in asyncio.run(ask(parts, project.tenant_id)):
                assert is_right(parts, version, TEXTS[0], answered.rows[0])
            parts.residency.forget(project.id)
            assert parts.residency.resident_grafts == 0
    finally:
        engine.open.set()
        opened.set()


@pytest.mark.parametrize("rows", [1, INLINE_SCORES])
def test_only_the_labels_asked_for_are_told_and_in_the_same_order(parts: Assembled, rows: int) -> None:
    project = parts.project("support", "acme")
    parts.publish(project, [f"label {number}" for number in range(40)], 1)
    texts = [TEXTS[number % 3] for number in range(rows)]
    whole = predict(parts, project.tenant_id, *texts[:3])
    for top_k in (1, 7, 400):
        asked = parts.predictor.predict(project.tenant_id, "support", Selector(), texts, top_k=top_k)
        found = asyncio.run(asked).rows
        assert len(found) == rows
        for row, every in zip(found, whole, strict=False):
            assert isinstance(row, Prediction)
            assert isinstance(every, Prediction)
            assert [label for label, _ in row.scores] == [label for label, _ in every.scores][:top_k]
            assert row.label == every.label


def test_a_graft_is_read_once_its_backbone_is_there(tmp_path: Path, tiny: Loaded) -> None:
    engine = Gated(OnnxEngine(tiny, threads=1))
    engine.open.clear()
    read: list[int] = []

    def noting(banks_of: Callable[[Version], Banks], graft_of: Callable[[Version], Graft], budget: Weight) -> Residency:
        def noted(version: Version) -> Graft:
            read.append(version.number)
            return graft_of(version)

        return Residency(banks_of, noted, budget)

    async def ask(parts: Assembled, tenant_id: str) -> Answered:
        asked = asyncio.create_task(parts.predictor.predict(tenant_id, "support", Selector(), TEXTS))
        for _ in range(20):  # it has come as far as it can
            await asyncio.wait_for(asyncio.to_thread(int), 30)
        assert not read, "who reads it would wait for the backbone"
        engine.open.set()
        return await asked

    try:
        with assembled(tmp_path, tiny, engine=engine, make_residency=noting) as parts:
            project = parts.project("support", "acme")
            version = parts.publish(project, LABELS, 1)
            assert asyncio.run(ask(parts, project.tenant_id)).target.version.number == version.number
            assert read == [version.number]
    finally:
        engine.open.set()
