import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tsugiki.storage.presence import Presence

OTHER = """
import sys
from pathlib import Path
from tsugiki.storage.presence import Presence
print(Presence(Path(sys.argv[1])).number, flush=True)
sys.stdin.read()
"""


def alive(seen_by: Presence) -> frozenset[int]:
    with seen_by.turn():
        return seen_by.alive()


def test_each_has_the_lowest_free_number(tmp_path: Path) -> None:
    first, second, third = (Presence(tmp_path) for _ in range(3))
    assert [presence.number for presence in (first, second, third)] == [1, 2, 3]
    second.close()
    assert alive(first) == {1, 3}
    again = Presence(tmp_path)
    assert (again.number, alive(third)) == (2, {1, 2, 3})
    for presence in (first, again, third):
        presence.close()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_ends_lets_go_of_its_number_however_it_ends(tmp_path: Path, end: signal.Signals) -> None:
    mine = Presence(tmp_path)
    command = [sys.executable, "-c", OTHER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "2\n"
        assert alive(mine) == {1, 2}
        other.send_signal(end)
        other.wait()
        assert alive(mine) == {1}
    mine.close()


def test_a_turn_is_one_s_alone(tmp_path: Path) -> None:
    within: list[int] = []
    most: list[int] = []

    def take_turns(presence: Presence) -> None:
        for _ in range(50):
            with presence.turn():
                within.append(presence.number)
                most.append(len(within))
                within.pop()

    presences = [Presence(tmp_path) for _ in range(4)]
    threads = [threading.Thread(target=take_turns, args=(presence,)) for presence in presences]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), set(most)) == (200, {1})
    for presence in presences:
        presence.close()
