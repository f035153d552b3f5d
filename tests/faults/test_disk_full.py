"""A full disk: writes are refused with what to do, predictions go on, and nothing has to be restarted after."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.jobs.deep import measured
from tsugiki.backbones import Loaded

SIZE = "8m"  # of the little disk: the compiled graph, the empty tables, and some room
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]  # the mount is seen by, and dies with, it


def on_a_little_disk(home: Path, environment: Mapping[str, str], command: str) -> subprocess.CompletedProcess[str]:
    mount = f"mount -t tmpfs -o size={SIZE} tmpfs {shlex.quote(str(home))}"
    own = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*NAMESPACE, f"{mount} && {command}"], env=own, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where a little disk can be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    if on_a_little_disk(path, {}, "true").returncode != 0:
        pytest.skip("this system lets nobody mount a small disk of their own")
    return path


def served_from(compiled: Path, disk: Path, *command: object) -> str:
    copy = shlex.join(["cp", "-r", f"{compiled}/.", str(disk)])
    return f"{copy} && {shlex.join([sys.executable, '-m', *map(str, command)])}"


def test_a_full_disk_refuses_writes_goes_on_answering_and_heals_by_itself(
    make_home: Callable[[], Path], tiny_environment: dict[str, str], tmp_path: Path, disk: Path
) -> None:
    log = tmp_path / "service.log"
    run = served_from(make_home(), disk, "tests.faults.filling", disk, log)
    done = on_a_little_disk(disk, tiny_environment, run)
    assert done.returncode == 0, done.stderr + log.read_text()[-3_000:]
    assert "Traceback" not in log.read_text()


def test_what_is_trained_while_the_disk_fills_waits_says_why_and_is_published_once_there_is_room(
    make_lone_home: Callable[[], Path], tiny: Loaded, disk: Path
) -> None:
    run = served_from(measured(make_lone_home(), tiny), disk, "tests.faults.filling_trainer", disk, tiny.source.folder)
    done = on_a_little_disk(disk, {}, run)
    assert done.returncode == 0, done.stderr[-6_000:]
    assert "no room" in done.stderr and "Traceback" not in done.stderr, done.stderr[-6_000:]
