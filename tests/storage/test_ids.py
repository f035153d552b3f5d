import threading
from datetime import timedelta

from tests.storage.making import Clock
from tsugiki.storage.ids import Ids


def test_ids_grow_within_one_millisecond() -> None:
    ids = Ids(Clock())
    made = [ids.new("smp") for _ in range(1000)]
    assert made == sorted(set(made))


def test_ids_grow_when_the_clock_is_set_back() -> None:
    clock = Clock()
    ids = Ids(clock)
    first = ids.new("smp")
    clock.advance(timedelta(days=-1))
    assert ids.new("smp") > first


def test_ids_of_two_processes_differ() -> None:
    clock = Clock()
    assert Ids(clock).new("smp") != Ids(clock).new("smp")


def test_threads_never_get_the_same_id() -> None:
    ids = Ids(Clock())
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend([ids.new("smp") for _ in range(500)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2000


def test_an_id_is_its_prefix_and_a_ulid() -> None:
    prefix, _, ulid = Ids(Clock()).new("proj").partition("_")
    assert (prefix, len(ulid)) == ("proj", 26)
