"""A worker whose supervisor was killed must not go on alone: nobody could stop it, and it would keep the port."""

from __future__ import annotations

import logging
import os
import signal
import threading

log = logging.getLogger("tsugiki")

LOOK_EVERY_S = 1.0  # as long as a restarted service may find its port taken


def end_with_supervisor() -> None:
    """From now on, stop this process as by SIGTERM once its parent is gone."""
    end_with(os.getppid())


def end_with(parent: int) -> None:
    """From now on, stop this process as by SIGTERM once process `parent` is not its parent (any more)."""
    threading.Thread(target=_watch, args=(parent,), name="supervision", daemon=True).start()


def _watch(supervisor: int) -> None:
    never = threading.Event()
    while os.getppid() == supervisor:
        never.wait(LOOK_EVERY_S)
    log.warning("the supervisor is gone: stopping")
    os.kill(os.getpid(), signal.SIGTERM)


def end(why: str) -> None:
    """Stop this process as by SIGTERM; its supervisor starts another."""
    log.critical("%s: stopping", why)
    os.kill(os.getpid(), signal.SIGTERM)
