from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tsugiki.storage.database import Database


def test_an_empty_home_has_its_tables_before_any_service_and_may_be_asked_again(tmp_path: Path) -> None:
    env = {**os.environ, "TSUGIKI_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    told = [
        subprocess.run(
            [sys.executable, "-m", "service.migrate"], env=env, capture_output=True, text=True, timeout=60, check=True
        ).stderr
        for _ in range(2)
    ]
    database = Database(tmp_path)
    found = database.revision()
    assert found is not None and all(found in text for text in told)
    database.close()
