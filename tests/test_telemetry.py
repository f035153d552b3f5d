"""onnxruntime reports sessions to its maker unless told otherwise; what it would send is first kept in a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SILENCED_BY = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI")  # none may be what makes these tests pass

OPENS_A_SESSION = """
import sys
from pathlib import Path
from tsugiki.backbones.session import Session
Session(Path(sys.argv[1]), threads=1)
"""
IMPORTS_THE_EXPORT = "import tsugiki.export.standalone"


@pytest.mark.parametrize("code", [OPENS_A_SESSION, IMPORTS_THE_EXPORT], ids=["service", "export"])
def test_a_session_is_reported_to_nobody(code: str, tiny_graph: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SILENCED_BY}
    command = [sys.executable, "-c", code, str(tiny_graph)]
    subprocess.run(command, env=environment | {"TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []
