"""Tsugiki's own lines, on stderr."""

from __future__ import annotations

import logging


def write_log() -> None:
    """From now on; BentoML may have configured the root for warnings by then."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log = logging.getLogger("tsugiki")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
