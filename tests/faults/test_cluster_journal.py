"""The cluster suite's own checks: a journal that was doctored is found out, and a true one is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.cluster.journal import BATCH, Answers, Job, Stored, Told, doubles, losses, unended

TOLD = Told({"one"}, {"key-1": "adp_1", "key-2": "adp_2"}, {"adp_1": 1, "adp_2": 2}, [1, 2, 2, 1])
STORED = Stored(
    ("one",) * BATCH,
    (Job("adp_1", "succeeded", 1), Job("adp_2", "succeeded", 2)),
    (2, 1),
    (1, 2, 1),  # a move to where the alias is already leaves no trace
)


def test_what_is_there_is_not_lost_nor_double() -> None:
    assert (losses(TOLD, STORED), doubles(TOLD, STORED), unended(STORED)) == ([], [], [])


@pytest.mark.parametrize(
    "stored",
    [
        replace(STORED, sources=()),
        replace(STORED, sources=("one",) * (BATCH - 1)),
        replace(STORED, jobs=STORED.jobs[:1], versions=(1,)),
        replace(STORED, jobs=(STORED.jobs[0], Job("adp_2", "failed", None)), versions=(1,)),
        replace(STORED, versions=(1,)),
        replace(STORED, moves=(1, 2)),
        replace(STORED, moves=(2, 1)),
    ],
)
def test_each_loss_is_found(stored: Stored) -> None:
    assert losses(TOLD, stored)


@pytest.mark.parametrize(
    "stored",
    [
        replace(STORED, sources=("one",) * 2 * BATCH),
        replace(STORED, jobs=(*STORED.jobs, Job("adp_3", "succeeded", 3)), versions=(3, 2, 1)),
        replace(STORED, jobs=(STORED.jobs[0], Job("adp_2", "succeeded", 1))),
        replace(STORED, versions=(3, 2, 1)),
    ],
)
def test_each_double_is_found(stored: Stored) -> None:
    assert doubles(TOLD, stored)


def test_a_job_that_hangs_is_found() -> None:
    assert unended(replace(STORED, jobs=(Job("adp_1", "running", None),)))


def test_a_foreign_and_a_mixed_answer_are_found() -> None:
    answers = Answers()
    for version, label, score in ((1, "acme-a", 0.7), (1, "acme-a", 0.70001), (2, "acme-b", 0.9)):
        answers.add("acme", version, "text", label, score)
    assert (answers.foreign, answers.mixed) == ([], [])
    answers.add("acme", 2, "text", "acme-a", 0.7)
    answers.add("acme", 2, "text", "acme-b", 0.7)
    assert len(answers.mixed) == 2
    answers.add("acme", 1, "text", "other-a", 0.7)
    assert len(answers.foreign) == 1
