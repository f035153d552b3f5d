"""What an unfinished adaptation has made is kept while it is unfinished, and written by its newest attempt only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from tests.storage.making import Stores, graft, new_version
from tsugiki.domain import Adaptation, Fitted, HeldOut, Project
from tsugiki.errors import Conflict
from tsugiki.observed import NOBODY, Origin, working_for
from tsugiki.storage import grafts
from tsugiki.storage.adaptation_rows import FollowUp
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.presence import TRAINER
from tsugiki.storage.references import referenced_blobs
from tsugiki.storage.unfinished import Unfinished

FOLLOWER = FollowUp({"method": "lora"}, {"chosen": "lora"})
FINDINGS = {"findings": [{"code": "outlier", "sample": "smp_1"}]}


class Begun(NamedTuple):
    unfinished: Unfinished
    trainer: Adaptations
    project: Project
    job: Adaptation
    attempt: int


@pytest.fixture
def begun(stores: Stores) -> Begun:
    trainer, made = Adaptations(stores.database, TRAINER), stores.project()
    job = stores.adaptations.create(made.id, {"method": "lora"}, for_trainer=True)
    return Begun(Unfinished(stores.database, stores.blobs), trainer, made, job, trainer.start(job.id))


def fitted() -> Fitted:
    return Fitted(graft(), HeldOut(np.array([1, 0], np.int64), np.array([[0.25, 0.75], [1, 0]], np.float32)))


def test_another_attempt_reads_what_one_kept(begun: Begun) -> None:
    unfinished, trainer, made, job, attempt = begun
    assert unfinished.snapshot(made.id, job.id) is None and unfinished.fitted(made.id, job.id) is None
    snapshot = new_version(made, "snp_1").snapshot
    unfinished.keep_snapshot(snapshot, job.id, attempt)
    unfinished.keep_fitted(made.id, fitted(), FINDINGS, job.id, attempt)
    assert trainer.start(job.id) == attempt + 1
    assert unfinished.snapshot(made.id, job.id) == snapshot
    assert unfinished.findings(made.id, job.id) == FINDINGS
    found = unfinished.fitted(made.id, job.id)
    assert found is not None and grafts.encode(found.graft) == grafts.encode(graft())
    assert found.held_out.rows.tolist() == [1, 0] and found.held_out.probabilities.tolist() == [[0.25, 0.75], [1, 0]]
    with pytest.raises(Conflict):
        unfinished.keep_snapshot(snapshot, job.id, attempt)


def test_a_snapshot_cut_anew_takes_away_what_was_trained_from_the_former_one(begun: Begun) -> None:
    unfinished, _, made, job, attempt = begun
    unfinished.keep_snapshot(new_version(made, "snp_1").snapshot, job.id, attempt)
    unfinished.keep_fitted(made.id, fitted(), FINDINGS, job.id, attempt)
    fewer = new_version(made, "snp_2").snapshot
    unfinished.keep_snapshot(fewer, job.id, attempt)
    assert unfinished.snapshot(made.id, job.id) == fewer
    assert unfinished.fitted(made.id, job.id) is None and unfinished.findings(made.id, job.id) is None


def test_its_blobs_are_named_until_it_ends(stores: Stores, begun: Begun) -> None:
    unfinished, _, made, job, attempt = begun
    unfinished.keep_fitted(made.id, fitted(), FINDINGS, job.id, attempt)
    assert len(referenced_blobs(stores.database)) == 3
    stores.adaptations.cancel(made.tenant_id, job.id)
    assert referenced_blobs(stores.database) == frozenset()


def test_nothing_is_left_of_what_was_kept_for_an_erased_project(stores: Stores, begun: Begun) -> None:
    unfinished, _, made, job, attempt = begun
    assert stores.projects.delete(made)
    with pytest.raises(Conflict):
        unfinished.keep_fitted(made.id, fitted(), FINDINGS, job.id, attempt)
    assert stores.blobs.owners() == frozenset()


def test_what_waits_for_the_trainer_is_nobody_else_s_to_run_or_take_over(stores: Stores, begun: Begun) -> None:
    _, trainer, made, job, _ = begun
    assert [one.id for one in trainer.unfinished()] == [job.id]
    assert stores.adaptations.unfinished() == [] and stores.adaptations.owners() == frozenset()
    with pytest.raises(Conflict, match="another process"):
        stores.adaptations.start(job.id)
    assert stores.adaptations.waiting_for_trainer() == 0
    stores.adaptations.create(made.id, {}, for_trainer=True)
    assert (trainer.waiting_for_trainer(made.tenant_id), trainer.waiting_for_trainer("ten_other")) == (1, 0)


def test_a_job_and_what_follows_it_remember_the_request_that_asked(stores: Stores) -> None:
    asked = Origin("req_1", trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    made, trainer = stores.project(), Adaptations(stores.database, TRAINER)
    with working_for(asked):
        job = stores.adaptations.create(made.id, {})
    assert stores.adaptations.get(made.tenant_id, job.id).asked == job.asked == asked
    attempt = stores.adaptations.start(job.id)
    with working_for(Origin(asked.request_id, job.id, object(), asked.trace)):  # as a lane does
        new = new_version(made, "snp_1")
        stores.registry.publish(made.id, new, job.id, attempt, None, None, {}, {}, job.id, FOLLOWER)
    (follower,) = trainer.unfinished()
    assert trainer.get(made.tenant_id, follower.id).asked == asked
    assert stores.adaptations.create(made.id, {}).asked == NOBODY


def test_what_follows_is_queued_by_the_transaction_that_publishes(stores: Stores, begun: Begun) -> None:
    _, trainer, made, _, _ = begun
    for number in (1, 2):
        job = stores.adaptations.create(made.id, {})
        attempt = stores.adaptations.start(job.id)
        new = new_version(made, f"snp_{number}")
        stores.registry.publish(made.id, new, job.id, attempt, None, None, {}, {}, job.id, FOLLOWER)
        follower = trainer.get(made.tenant_id, trainer.unfinished()[-1].id)
        assert follower.request == {"method": "lora", "follows": job.id}
        assert follower.plan == {"chosen": "lora"}
        with pytest.raises(Conflict):
            stores.registry.publish(made.id, new, job.id, attempt, None, None, {}, {}, job.id, FOLLOWER)
    assert len(trainer.unfinished()) == 2, "the running one, and one that waits to follow"
