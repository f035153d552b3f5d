import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SIZE = "2m"  # of the little disk: the empty tables take a fifth of it
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]  # the mount is seen by, and dies with, it


def mounted(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    script = f"mount -t tmpfs -o size={SIZE} tmpfs {shlex.quote(str(home))} && {command}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([*NAMESPACE, script], env=environment, capture_output=True, text=True, check=False)


def test_a_full_disk_refuses_writes_keeps_reading_and_heals_by_itself(tmp_path: Path) -> None:
    if mounted(tmp_path, "true").returncode != 0:
        pytest.skip("this system lets nobody mount a small disk of their own")
    child = mounted(tmp_path, shlex.join([sys.executable, "-m", "tests.storage.filling", str(tmp_path)]))
    assert child.returncode == 0, child.stderr
