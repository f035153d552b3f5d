"""The trainer started by hand, where there is nothing for it to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_home_that_no_service_has_made_is_refused_in_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    home = tmp_path / "nothing"
    done = subprocess.run(
        [sys.executable, "-m", "service.trainer"],
        env={**os.environ, "TSUGIKI_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert str(home) in done.stderr and "python -m service" in done.stderr
    assert not home.exists()
