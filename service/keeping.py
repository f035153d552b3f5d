"""The trainer, kept running: a process beside the service, started with it, again when it dies, and ended with it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tsugiki.errors import TsugikiError
from tsugiki.jobs.memory import OOM_COUNTERS, oom_kills
from tsugiki.storage.presence import lock

log = logging.getLogger("tsugiki")

LOOK_EVERY_S = 1.0  # how long a trainer is missed whose worker ended, where another one serves on
PAUSES_S = (0.5, 8.0)  # before it is started again: the first, twice as long each time it soon ends, and the longest
STEADY_S = 3.0  # who has run so long did not end by its start, which takes one or two
STOP_S = 12.0  # longer than the trainer waits for its jobs
TRAINER = (sys.executable, "-m", "service.trainer")


class Keeper:
    """A thread that, once told to `begin`, has one trainer running; of a home's workers, who holds the lock `one` does.

    A trainer ends by itself soon after the process that started it: nobody would stop it otherwise. `on_oom` is called
    after each that the kernel ended for its memory, as the `oom_counters` tell, before the next is started, which
    takes a pause of between the two `pauses_s`.
    """

    def __init__(
        self,
        one: Path,
        threads: int,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_oom: Callable[[], None] = lambda: None,
        oom_counters: Sequence[Path] = OOM_COUNTERS,
        pauses_s: tuple[float, float] = PAUSES_S,
    ) -> None:
        self._one = one
        self._on_oom = on_oom
        self._oom_counters = oom_counters
        self._first_pause_s, self._longest_pause_s = pauses_s
        self._command = (*command, str(os.getpid()))
        # The worker's own libraries are held to one thread each; these are another process's, `threads` for each job.
        self._environment = {**environment, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self._turn = threading.Lock()
        self._begun = threading.Event()
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="trainer-keeper", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The trainer's, None while there is none of this process."""
        with self._turn:
            return None if self._process is None else self._process.pid

    def begin(self) -> None:
        self._begun.set()

    def close(self) -> None:
        """End the trainer and wait for it; what it is at goes on after the next start."""
        self._closed.set()
        self._begun.set()
        with self._turn:
            process = self._process
        if process is not None:
            process.terminate()
        self._thread.join(STOP_S)
        if self._thread.is_alive() and process is not None:
            log.warning("the trainer does not stop: it is killed")
            process.kill()
            self._thread.join()

    def _run(self) -> None:
        self._begun.wait()
        while not self._closed.is_set():
            held = lock(self._one, wait=False)
            if held is None:
                self._closed.wait(LOOK_EVERY_S)
                continue
            try:
                self._keep()
            except OSError as error:
                log.critical("the trainer cannot be started: %s", error.strerror)
                self._closed.wait(self._longest_pause_s)
            finally:
                os.close(held)

    def _keep(self) -> None:
        """Until closed. Raises OSError."""
        pause_s = self._first_pause_s
        while (process := self._start()) is not None:
            started, killed = time.monotonic(), oom_kills(self._oom_counters)
            status = process.wait()
            with self._turn:
                self._process = None
            if self._closed.is_set():
                return
            if time.monotonic() - started > STEADY_S:
                pause_s = self._first_pause_s
            if status == -signal.SIGKILL and oom_kills(self._oom_counters) > killed:
                self._tell_oom()
            log.warning("the trainer ended with status %d: another is started in %g s", status, pause_s)
            self._closed.wait(pause_s)
            pause_s = min(2 * pause_s, self._longest_pause_s)

    def _tell_oom(self) -> None:
        log.warning("the kernel ended the trainer: memory had run out")
        try:
            self._on_oom()
        except TsugikiError as error:  # then its jobs fail for another reason, if they do
            log.warning("the jobs of the trainer cannot be told of it: %s", error.detail)

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._turn:
            if self._closed.is_set():
                return None
            # A session of its own: Ctrl-C in a terminal is for the service, which ends the trainer in turn.
            self._process = subprocess.Popen(self._command, env=self._environment, start_new_session=True)
            return self._process
