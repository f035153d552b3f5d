"""Tenants take turns at the trainer: a backlog of one is before nobody else's first job."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable

import pytest

from tsugiki.jobs.turns import Turns
from tsugiki.storage.adaptations import Waiting

Take = Callable[[Iterable[Waiting], Collection[str]], Waiting | None]
numbers = itertools.count()


def jobs(tenant: str, count: int) -> list[Waiting]:
    return [
        Waiting(f"adp_{next(numbers):04}", f"of-{tenant}", tenant, running=False, begun=False) for _ in range(count)
    ]


def served(take: Take, waiting: list[Waiting], at_once: int) -> list[str]:
    """Tenants in the order of their jobs' starts; the oldest running job ends first."""
    left, running, order = list(waiting), list[Waiting](), list[str]()
    while left or running:
        while len(running) < at_once and (job := take(left, {job.tenant_id for job in running})) is not None:
            left.remove(job)
            order.append(job.tenant_id)
            running.append(job)
        del running[0]
    return order


def oldest_first(waiting: Iterable[Waiting], busy: Collection[str]) -> Waiting | None:
    """The fault that must be found."""
    return next((job for job in waiting if job.tenant_id not in busy), None)


def behind_a_backlog(order: list[str]) -> list[str]:
    """Tenants whose first job starts after the second one of another."""
    seconds = [place for place, tenant in enumerate(order) if order[:place].count(tenant) == 1]
    return [tenant for tenant in set(order) if order.index(tenant) > min(seconds)]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_no_tenant_s_first_job_waits_for_another_s_second(at_once: int) -> None:
    waiting = [job for tenant in range(20) for job in jobs(f"t{tenant:02}", 5)]
    order = served(Turns().take, waiting, at_once)
    assert len(order) == len(waiting)
    assert behind_a_backlog(order) == []
    assert behind_a_backlog(served(oldest_first, waiting, at_once)) != []


def test_a_tenant_s_jobs_stay_in_order_and_one_at_a_time() -> None:
    turns, waiting = Turns(), jobs("a", 3)
    for job in list(waiting):
        assert turns.take(waiting, set()) == job
        waiting.remove(job)
        assert turns.take(waiting, {"a"}) is None


def test_who_comes_later_goes_behind_those_who_wait_and_before_anybody_s_next_but_one() -> None:
    turns, early = Turns(), jobs("a", 3) + jobs("b", 3)
    assert turns.take(early, set()) == early[0]
    late = early[1:] + jobs("c", 3)
    order: list[str] = []
    while late:
        chosen = turns.take(late, set())
        assert chosen is not None
        late.remove(chosen)
        order.append(chosen.tenant_id)
    assert order == ["b", "a", "c", "b", "a", "c", "b", "c"]
