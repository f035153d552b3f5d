from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tsugiki.storage.database import Database


def test_an_empty_home_has_its_tables_before_any_service_and_may_be_asked_again(tmp_path: Path) -> None:
    env = {**os.environ, "TSUGIKI_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):
        command = [sys.executable, "-m", "service.migrate"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    database = Database(tmp_path)
    found = database.revision()
    assert found is not None and found in done.stderr
    database.close()
