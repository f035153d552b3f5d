"""What a start does first: a supervisor imports what it needs, and a trainer does not delay the first prediction."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from service.wiring import wire
from tests.faults.several import soon
from tsugiki.backbones import Loaded

SOON_S = 20.0  # what takes so long has hung
TRAINER = (sys.executable, "-c", "import signal; signal.pause()")
HEAVY = {"PIL", "fastapi", "numpy", "sqlalchemy", "tokenizers"}
LATER = {"onnx", "onnxruntime"}  # with the first export, or network of a version's own, and with the first backbone


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [("service.__main__, service.app", set[str]()), ("service.worker, service.api", HEAVY)],  # the latter: the control
)
def test_only_workers_import_what_they_serve_with(modules: str, heavy: set[str]) -> None:
    script = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert imported & HEAVY == heavy
    assert not imported & LATER


def test_a_trainer_starts_when_the_default_backbone_was_loaded(
    make_lone_home: Callable[[], Path], tiny: Loaded
) -> None:
    home = make_lone_home()
    values: dict[str, Any] = {"home": home, "backbones": {"tiny": tiny.source.folder}, "text_backbone": "tiny"}
    settings = Settings(**values, trainer=True, engine="onnxruntime")
    with (home / "graphs" / f"{tiny.graph.stem}.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # who loads the graph waits for it
        with closing(wire(settings, trainer=TRAINER)) as core:
            assert core.keeper is not None
            assert (core.why_not_ready(), core.keeper.pid) == ("loading the backbone", None)
            fcntl.flock(held, fcntl.LOCK_UN)
            assert soon(lambda: core.keeper is not None and core.keeper.pid is not None, SOON_S)
            assert core.why_not_ready() is None


def test_a_trainer_starts_also_where_the_default_backbone_cannot_be_loaded(
    make_home: Callable[[], Path], tiny: Loaded, tmp_path: Path
) -> None:
    values: dict[str, Any] = {"home": make_home(), "backbones": {"lost": tmp_path}, "text_backbone": "lost"}
    with closing(wire(Settings(**values, trainer=True, engine="onnxruntime"), trainer=TRAINER)) as core:
        assert soon(lambda: core.keeper is not None and core.keeper.pid is not None, SOON_S)
        assert soon(lambda: "cannot be loaded (" in (core.why_not_ready() or ""), SOON_S)
