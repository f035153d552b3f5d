import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import Server


def test_a_job_whose_end_could_not_be_written_is_queued_anew(tmp_path: Path) -> None:
    _run("tests.jobs.jamming", str(tmp_path))


@pytest.mark.parametrize("broken", [[], ["broken"]], ids=["whole", "broken"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_job_that_was_taken_and_is_run_by_nobody_is_queued_anew(
    kind: str, broken: list[str], tmp_path: Path, postgres: Server
) -> None:
    if kind == "sqlite":
        _run("tests.jobs.losing", str(tmp_path), *broken)
        return
    with postgres.database() as url:
        _run("tests.jobs.losing", url, *broken)


def _run(*command: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    given = [sys.executable, "-m", *command]
    done = subprocess.run(given, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
