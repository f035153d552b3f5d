"""Worker threads for jobs: one a tenant, tenants in turn, and nobody waits for a lane that has closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tsugiki.errors import Overloaded
from tsugiki.jobs.lane import TENANT_JOBS, TOTAL_JOBS, Lane

SOON_S = 30  # a test that waits so long has hung


class Diary:
    """Jobs that note when they run, and can be held."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.running: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self._lock = threading.Lock()

    def job(
        self, tenant: str, name: str, *, held: bool = False, pauses: list[float] | None = None
    ) -> Callable[[], float | None]:
        """`pauses` are what it asks for after each attempt, until none is left."""

        def run() -> float | None:
            with self._lock:
                self.ran.append(name)
                self.running[tenant] = self.running.get(tenant, 0) + 1
                self.most[tenant] = max(self.most.get(tenant, 0), self.running[tenant])
            self.entered.release()
            if held:
                self.open.wait(SOON_S)
            with self._lock:
                self.running[tenant] -= 1
            return pauses.pop(0) if pauses else None

        return run


@pytest.fixture
def diary() -> Iterator[Diary]:
    made = Diary()
    yield made
    made.open.set()


def test_a_tenant_s_jobs_run_in_order_and_one_at_a_time(diary: Diary) -> None:
    lane = Lane("test", 4)
    done = [lane.submit("a", diary.job("a", f"a{n}")) for n in range(20)]
    for future in done:
        future.result(SOON_S)
    assert diary.ran == [f"a{n}" for n in range(20)]
    assert diary.most == {"a": 1}
    lane.close()


def test_a_tenant_s_long_job_blocks_its_own_and_nobody_else(diary: Diary) -> None:
    lane = Lane("test", 2)
    long = lane.submit("a", diary.job("a", "long", held=True))
    assert diary.entered.acquire(timeout=SOON_S)
    next_one = lane.submit("a", diary.job("a", "next"))
    others = [lane.submit(tenant, diary.job(tenant, tenant)) for tenant in "bcd"]
    for future in others:
        future.result(SOON_S)
    assert diary.ran == ["long", "b", "c", "d"]
    assert lane.waiting == 1
    assert not next_one.done()
    diary.open.set()
    next_one.result(SOON_S)
    long.result(SOON_S)
    lane.close()


def test_tenants_take_turns_however_many_jobs_one_has_queued(diary: Diary) -> None:
    lane = Lane("test", 1)
    plug = lane.submit("plug", diary.job("plug", "plug", held=True))
    assert diary.entered.acquire(timeout=SOON_S)
    done = [lane.submit("a", diary.job("a", f"a{n}")) for n in range(5)]
    done.append(lane.submit("b", diary.job("b", "b")))
    diary.open.set()
    for future in [plug, *done]:
        future.result(SOON_S)
    assert diary.ran.index("b") == 2
    lane.close()


def test_a_job_that_raises_ends_only_itself(diary: Diary, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("a bug")

    lane = Lane("test", 1)
    lane.submit("a", broken).result(SOON_S)
    lane.submit("a", diary.job("a", "after")).result(SOON_S)
    assert diary.ran == ["after"]
    assert "without recording it" in caplog.text
    lane.close()


def test_a_caller_that_stops_waiting_does_not_stop_the_job(diary: Diary) -> None:
    lane = Lane("test", 1)
    first = lane.submit("a", diary.job("a", "first", held=True))
    assert diary.entered.acquire(timeout=SOON_S)
    second = lane.submit("a", diary.job("a", "second"))
    assert not second.cancel()
    diary.open.set()
    second.result(SOON_S)
    first.result(SOON_S)
    assert diary.ran == ["first", "second"]
    lane.close()


def test_closing_lets_running_jobs_finish_and_releases_who_waits_for_the_others(diary: Diary) -> None:
    lane = Lane("test", 1)
    running = lane.submit("a", diary.job("a", "running", held=True))
    assert diary.entered.acquire(timeout=SOON_S)
    waiting = lane.submit("a", diary.job("a", "never"))
    closing = threading.Thread(target=lane.close)
    closing.start()
    waiting.result(SOON_S)
    assert not running.done()
    diary.open.set()
    running.result(SOON_S)
    closing.join(SOON_S)
    assert not closing.is_alive()
    lane.submit("a", diary.job("a", "too late")).result(SOON_S)
    assert diary.ran == ["running"]
    assert lane.waiting == 0


def test_a_job_that_wants_another_attempt_gets_it_before_its_tenant_s_next_one(diary: Diary) -> None:
    lane = Lane("test", 2)
    plug = lane.submit("a", diary.job("a", "plug", held=True))
    assert diary.entered.acquire(timeout=SOON_S)
    again = lane.submit("a", diary.job("a", "again", pauses=[0.0, 0.01]))
    last = lane.submit("a", diary.job("a", "last"))
    diary.open.set()
    for future in (plug, again, last):
        future.result(SOON_S)
    assert diary.ran == ["plug", "again", "again", "again", "last"]
    assert diary.most == {"a": 1}
    lane.close()


def test_a_job_that_pauses_keeps_nobody_else_waiting_and_is_let_go_by_closing(diary: Diary) -> None:
    lane = Lane("test", 1)
    paused = lane.submit("a", diary.job("a", "paused", pauses=[3_600.0]))
    lane.submit("b", diary.job("b", "b")).result(SOON_S)
    assert not paused.done()
    assert lane.waiting == 1
    lane.close()
    paused.result(SOON_S)
    assert diary.ran == ["paused", "b"]


def test_a_tenant_with_too_many_jobs_waiting_is_refused_and_others_are_not(diary: Diary) -> None:
    lane = Lane("test", 1)
    plug = lane.submit("a", diary.job("a", "plug", held=True))
    assert diary.entered.acquire(timeout=SOON_S)
    done = [lane.submit("a", diary.job("a", f"a{n}")) for n in range(TENANT_JOBS - 1)]
    lane.admit("a")
    done.append(lane.submit("a", diary.job("a", "the last")))
    with pytest.raises(Overloaded, match="of this tenant") as refused:
        lane.admit("a")
    assert refused.value.retry_after_s > 0
    lane.admit("b")
    # What was recorded before a restart is taken up, however much it is.
    done.append(lane.submit("a", diary.job("a", "recorded")))
    diary.open.set()
    for future in (plug, *done):
        future.result(SOON_S)
    lane.admit("a")
    lane.close()


def test_a_full_lane_refuses_everybody(diary: Diary) -> None:
    lane = Lane("test", 1)
    plug = lane.submit("plug", diary.job("plug", "plug", held=True))
    assert diary.entered.acquire(timeout=SOON_S)
    for number in range(TOTAL_JOBS):
        lane.submit(f"t{number % 500}", diary.job("t", "t"))
    with pytest.raises(Overloaded, match="the service"):
        lane.admit("new")
    closing = threading.Thread(target=lane.close)
    closing.start()
    diary.open.set()
    closing.join(SOON_S)
    plug.result(SOON_S)
    assert not closing.is_alive()
