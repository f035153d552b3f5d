from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tsugiki.runtime.priority import NICE, stand_back


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
