"""A write that the store cannot take now is tried until it can, or until nobody may wait any more."""

from __future__ import annotations

import threading

import pytest

from tsugiki.errors import Conflict, StorageFull, TsugikiError, Unavailable
from tsugiki.jobs.recorder import Recorder


class Store:
    """Refuses with what it is given, in turn, then takes the write."""

    def __init__(self, *refusals: TsugikiError) -> None:
        self.refusals = list(refusals)
        self.asked = threading.Semaphore(0)

    def write(self) -> str:
        self.asked.release()
        if self.refusals:
            raise self.refusals.pop(0)
        return "written"


def test_a_full_and_an_absent_store_are_outlasted() -> None:
    store = Store(StorageFull("no room"), Unavailable("locked"), StorageFull("no room"))
    assert Recorder(retry_s=0).insist(store.write) == "written"


def test_a_refusal_that_time_does_not_heal_is_raised_at_once() -> None:
    store = Store(Conflict("fenced"))
    with pytest.raises(Conflict):
        Recorder().insist(store.write)


def test_closing_ends_the_wait_with_what_the_store_said() -> None:
    store = Store(StorageFull("no room"), StorageFull("no room"))
    recorder = Recorder(retry_s=3_600)
    told: list[TsugikiError] = []

    def job() -> None:
        try:
            recorder.insist(store.write)
        except StorageFull as error:
            told.append(error)

    waiting = threading.Thread(target=job)
    waiting.start()
    assert store.asked.acquire(timeout=30)
    recorder.close()
    waiting.join(30)
    assert [error.detail for error in told] == ["no room"]
