from __future__ import annotations

import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tsugiki.runtime.priority import NICE, TURN_S, giving_way, stand_back


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities by thread")
@pytest.mark.parametrize(("before", "after"), [(0, NICE), (19, 19)])
def test_a_thread_stands_back_and_never_comes_forward(before: int, after: int) -> None:
    def nice() -> int:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(before, os.getpriority(os.PRIO_PROCESS, thread)))
        stand_back()
        return os.getpriority(os.PRIO_PROCESS, thread)

    with ThreadPoolExecutor(1) as pool:  # a thread of its own, for there is no way back without being root
        assert pool.submit(nice).result() == after


def test_what_is_made_while_giving_way_is_not_looked_through_again() -> None:
    before, turn_s = gc.get_freeze_count(), sys.getswitchinterval()
    with giving_way():
        made = [[number] for number in range(10_000)]
        assert not gc.isenabled()
        assert sys.getswitchinterval() == pytest.approx(TURN_S)
    try:
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()
    assert gc.isenabled()
    assert sys.getswitchinterval() == turn_s


def test_python_searches_for_garbage_and_takes_turns_as_before_where_giving_way_failed() -> None:
    turn_s = sys.getswitchinterval()
    with pytest.raises(ImportError), giving_way():
        raise ImportError
    gc.unfreeze()
    assert gc.isenabled()
    assert sys.getswitchinterval() == turn_s
