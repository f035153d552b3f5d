"""The trainer started by hand: where there is nothing for it to do, and where a service leaves it to somebody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from service.settings import Settings
from service.wiring import wire
from tsugiki.backbones import Loaded


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


def test_a_service_whose_trainer_runs_elsewhere_starts_none(make_home: Callable[[], Path], tiny: Loaded) -> None:
    for beside in (True, False):  # the first is the control
        values: dict[str, Any] = {"home": make_home(), "backbones": {"tiny": tiny.source.folder}, "trainer": True}
        settings = Settings(**values, text_backbone="tiny", engine="onnxruntime", trainer_beside=beside)
        with closing(wire(settings)) as core:
            assert (core.keeper is not None) == beside
            assert core.settings.trainer
