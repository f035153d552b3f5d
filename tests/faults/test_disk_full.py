"""A full disk: writes are refused with what to do, predictions go on, and nothing has to be restarted after."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

SIZE = "8m"  # of the little disk: the compiled graph, the empty tables, and some room
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]  # the mount is seen by, and dies with, it


def on_a_little_disk(home: Path, environment: Mapping[str, str], command: str) -> subprocess.CompletedProcess[str]:
    mount = f"mount -t tmpfs -o size={SIZE} tmpfs {shlex.quote(str(home))}"
    own = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*NAMESPACE, f"{mount} && {command}"], env=own, capture_output=True, text=True, timeout=180, check=False
    )


def test_a_full_disk_refuses_writes_goes_on_answering_and_heals_by_itself(
    make_home: Callable[[], Path], tiny_environment: dict[str, str], tmp_path: Path
) -> None:
    if on_a_little_disk(tmp_path, {}, "true").returncode != 0:
        pytest.skip("this system lets nobody mount a small disk of their own")
    compiled, log = make_home(), tmp_path / "service.log"
    disk = tmp_path / "disk"
    disk.mkdir()
    copy = shlex.join(["cp", "-r", f"{compiled}/.", str(disk)])
    run = shlex.join([sys.executable, "-m", "tests.faults.filling", str(disk), str(log)])
    done = on_a_little_disk(disk, tiny_environment, f"{copy} && {run}")
    assert done.returncode == 0, done.stderr + log.read_text()[-3_000:]
    assert "Traceback" not in log.read_text()
