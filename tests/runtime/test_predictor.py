"""From inputs to answers on the tiny backbone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.assembled import Assembled, assembled
from tests.runtime.grafting import TOLERANCE
from tsugiki.backbones import Loaded
from tsugiki.domain import Policy, Prediction
from tsugiki.errors import Invalid, NoVersion, TsugikiError, WrongFeatureSpace
from tsugiki.runtime.batcher import Lane
from tsugiki.runtime.directory import Selector
from tsugiki.runtime.predictor import INLINE_CHARS

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
    served.batcher.submit(project.tenant_id, [prepared.ids], None, Lane.INTERACTIVE).result(30)
    parts.residency.forget(project.id)
    assert parts.residency.resident_heads == 0
    assert parts.residency.lease_resident(version) is None
    assert isinstance(predict(parts, project.tenant_id, "the card")[0], Prediction)
