"""What the kernel says of memory."""

from __future__ import annotations

from pathlib import Path

from tsugiki.domain import Json
from tsugiki.jobs.attempts import out_of_memory, told
from tsugiki.jobs.memory import free_bytes, oom_kills


def test_what_the_kernel_ended_is_counted_wherever_it_is_told(tmp_path: Path) -> None:
    machine, container = tmp_path / "vmstat", tmp_path / "memory.events"
    machine.write_text("oom_kill_none 7\noom_kill 3\nnr_free_pages 5\n")
    assert oom_kills([machine, container, tmp_path]) == 3
    container.write_text("oom 9\noom_kill 2\noom_group_kill 1\n")
    assert oom_kills([machine, container]) == 5
    container.write_text("oom_kill many\n")
    assert oom_kills([machine, container]) == 3


def test_this_machine_tells_how_much_is_free() -> None:
    assert 0 < (free_bytes() or 0) < 1 << 50


def test_a_lack_of_memory_is_known_by_its_words_and_tells_need_and_have() -> None:
    plan: Json = {"chosen": "full", "candidates": [{"method": "full", "peak_bytes": 3 << 30}]}
    assert "full needs about 3072 MiB" in out_of_memory(plan, 1 << 20).detail
    assert out_of_memory(plan, 1 << 20).detail.endswith("1 MiB are free now")
    assert out_of_memory(None, None).detail == "there was not enough memory for the adaptation"
    found = told(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert found is not None and found.reason == "out_of_memory"
    assert told(RuntimeError("shapes do not match")) is None
