"""Temporary files where only the home can be written: TMPDIR, a folder of it that may not be there yet."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def make_scratch(home: Path, *, alone: bool) -> None:
    """Makes the folder `tmp` of the home if it is what TMPDIR names.

    Who is `alone` in the home empties it: what a killed process left there is nobody's.
    """
    folder = home / "tmp"
    if Path(os.environ.get("TMPDIR", "/")).resolve() != folder:
        return
    if alone and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
