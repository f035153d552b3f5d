"""Invariant I9 while tests run: nothing that our code calls may unpickle, which runs whatever the bytes say."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = tuple(str(ROOT / folder) + "/" for folder in ("src", "service", "adapters"))


def forbid_unpickling() -> None:
    """From now on, for this whole process: an audit hook cannot be taken back."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event != "pickle.find_class":
        return
    frame = sys._getframe()  # pyright: ignore[reportPrivateUsage]  # the interpreter's own way to see who asks
    while frame is not None:
        if frame.f_code.co_filename.startswith(OURS):
            raise RuntimeError(f"{frame.f_code.co_filename} led to unpickling {arguments}")
        frame = frame.f_back
