"""The service as BentoML serves it: in processes of their own, as importing BentoML warns of what it deprecates."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SERVED = """
import gc
from starlette.testclient import TestClient
from service.app import App
served = App.to_asgi()
with TestClient(served) as http:
    print(type(served.middleware_stack).__name__, http.get("/livez").status_code, http.get("/v1/me").status_code)
    print(gc.get_freeze_count() > len(gc.get_objects()))
"""


def test_bentos_layers_are_left_out_and_the_start_is_no_garbage(
    make_home: Callable[[], Path], tiny_environment: dict[str, str]
) -> None:
    environment = {**os.environ, **tiny_environment, "TSUGIKI_HOME": str(make_home())}
    script = [sys.executable, "-W", "ignore", "-c", SERVED]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Guard", "200", "401", "True"]
