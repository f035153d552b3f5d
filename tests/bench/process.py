"""What a benchmark measures in its own process, it measures as the service would: with its threads."""

from __future__ import annotations

import os
import signal
import sys

from service.command import ENVIRONMENT

SILENT = {  # progress bars and advice of libraries, between the bench's own lines
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "TRANSFORMERS_VERBOSITY": "error",
}


def become_served(module: str) -> None:
    """Libraries read their numbers of threads when they load: start anew as `module` if they are not the service's."""
    wanted = os.environ | SILENT | ENVIRONMENT
    if wanted != os.environ:
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], wanted)
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: object) -> None:
    """The servers that were started have sessions of their own: leaving the blocks ends them."""
    raise SystemExit(128 + number)
