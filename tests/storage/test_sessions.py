"""Processes of several machines: numbers that a server keeps, and what becomes of whoever is cut off."""

import threading
import time

import psycopg
import pytest

from tests.storage.making import Place, only_postgres
from tsugiki.storage import sessions
from tsugiki.storage.sessions import SERVING, TRAINING, SessionPresence

pytestmark = only_postgres

SOON_S = 20.0  # what takes so long has hung


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(sessions, "GRACE_S", 0.5)


def presence(place: Place, lost: threading.Event | None = None, kind: int = SERVING) -> SessionPresence:
    return SessionPresence(str(place), kind, (lost or threading.Event()).set)


def gone(seen_by: SessionPresence, *numbers: int) -> frozenset[int]:
    with seen_by.turn():
        return seen_by.gone(numbers)


def came_to(one: SessionPresence, processes: int) -> None:
    began = time.monotonic()
    while one.processes != processes:
        assert time.monotonic() - began < SOON_S


def cut_off(place: Place) -> None:
    with psycopg.connect(str(place), autocommit=True) as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        connection.execute(f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid()")


def test_each_has_the_lowest_free_number_of_its_kind(place: Place) -> None:
    first, second, trainer = presence(place), presence(place), presence(place, kind=TRAINING)
    assert (first.number, second.number, trainer.number) == (1, 2, 1)
    first.close()
    again = presence(place)
    assert again.number == 1
    for one in (second, trainer, again):
        one.close()


def test_how_many_there_are_is_known_to_each_of_them(place: Place) -> None:
    first, trainer = presence(place), presence(place, kind=TRAINING)
    assert first.processes == trainer.processes == 1
    second = presence(place)
    assert second.processes == 2
    came_to(first, 2)
    with second.turn():  # who has the turn is not one more
        came_to(first, 2)
    second.close()
    came_to(first, 1)
    assert trainer.processes == 1
    for one in (first, trainer):
        one.close()


def test_who_ended_is_gone_after_a_while_and_nobody_else(place: Place) -> None:
    first, second = presence(place), presence(place)
    second.close()
    began = time.monotonic()
    assert gone(first, 1, 2) == frozenset(), "it may have been cut off only"
    while gone(first, 1, 2) != frozenset({2}):
        assert time.monotonic() - began < SOON_S
    assert time.monotonic() - began >= sessions.GRACE_S
    first.close()


def test_who_is_cut_off_comes_back_as_who_it_was(place: Place) -> None:
    lost = threading.Event()
    first, second = presence(place, lost), presence(place, lost)
    cut_off(place)
    began = time.monotonic()
    while True:
        with psycopg.connect(str(place)) as connection:
            if sorted(connection.execute(sessions.HELD, (SERVING,)).fetchall()) == [(1,), (2,)]:
                break
        assert time.monotonic() - began < SOON_S
    assert gone(first, 1, 2) == frozenset() and not lost.is_set()
    first.close()
    second.close()


def test_whose_number_another_has_by_then_says_so(place: Place) -> None:
    lost = threading.Event()
    mine = presence(place, lost)
    with psycopg.connect(str(place), autocommit=True) as other:
        waiting = threading.Thread(target=other.execute, args=("SELECT pg_advisory_lock(%s, %s)", (SERVING, 1)))
        waiting.start()
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE classid = %s AND objid = 1 AND granted"
        with psycopg.connect(str(place), autocommit=True) as third:
            while not third.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (1,):
                assert waiting.is_alive()
            third.execute(ended, (SERVING,))
        waiting.join()
        assert lost.wait(SOON_S)
    mine.close()


def test_a_turn_is_one_s_alone(place: Place) -> None:
    within, most = list[int](), list[int]()

    def take_turns(one: SessionPresence) -> None:
        for _ in range(20):
            with one.turn():
                within.append(one.number)
                most.append(len(within))
                within.pop()

    presences = [presence(place) for _ in range(3)]
    threads = [threading.Thread(target=take_turns, args=(one,)) for one in presences]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), set(most)) == (60, {1})
    for one in presences:
        one.close()
