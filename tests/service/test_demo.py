"""`make demo` as its user runs it, on a tiny backbone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tiny_environment: dict[str, str], make_home: Callable[[], Path], tmp_path: Path) -> dict[str, str]:
    """A place of its own for temporary files, so that what is left behind is seen."""
    here = {"COLUMNS": "120", "TMPDIR": str(tmp_path), "TSUGIKI_HOME": str(make_home())}
    return os.environ | tiny_environment | here


def test_the_demo_shows_a_whole_life_and_leaves_nothing(environment: Mapping[str, str], tmp_path: Path) -> None:
    done = _demo(environment)
    output, _ = done.communicate(timeout=180)
    assert done.returncode == 0, output
    for said in ("Adapting to 72 samples", "12 right", "Rolling back to version 1", "largest difference of any score"):
        assert said in output
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_demo_leaves_nothing(environment: Mapping[str, str], tmp_path: Path) -> None:
    demo = _demo(environment)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("Starting the service"):
            break
    demo.send_signal(signal.SIGTERM)
    output, _ = demo.communicate(timeout=60)
    assert (demo.returncode, "Interrupted" in output) == (130, True), output
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_will_not_do_ends_the_demo_before_a_service_is_started(environment: Mapping[str, str]) -> None:
    demo = _demo({**environment, "DATA": "nowhere.csv"})
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "The demo failed: nowhere.csv" in output
    assert "Starting" not in output


def _demo(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "service.demo"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
