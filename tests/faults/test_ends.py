"""SIGTERM finishes what runs and ends cleanly; no worker outlives its supervisor."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from service.launch import POLL_S, Running, serving
from tests.faults.lives import connect, processes, teach

ENDS_S = 30.0  # what an orchestrator grants by default
LONG = ["money refund charge parcel late arrive " * 12] * 1_024  # the most one request may ask
AT_ONCE = 4  # together, the rows that a tenant may have waiting
PROBE_S = 0.5  # a probe that nobody accepts waits in the queue of the socket: that is not ready
NOTICE_S = 2.0  # some probes long


def test_sigterm_finishes_what_runs_and_takes_nothing_new(
    make_home: Callable[[], Path], tiny_environment: dict[str, str]
) -> None:
    answers: list[int] = []
    # One pass at a time, and nobody is refused: what runs must last until the end is seen.
    env = {**tiny_environment, "TSUGIKI_ENGINE_WORKERS": "1", "TSUGIKI_WAIT_SECONDS": "60"}
    env["TSUGIKI_NOTICE_SECONDS"] = str(NOTICE_S)
    with serving(make_home(), env=env) as running, connect(running) as http:
        teach(http, "support")
        supervisor, worker = processes(running)

        def predict() -> None:
            with connect(running) as mine:
                reply = mine.post("/predict", json={"project": "support", "inputs": LONG})
                answers.append(reply.status_code)

        threads = [threading.Thread(target=predict) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        assert until(lambda: rows_waiting(http) > 0)
        os.kill(supervisor, signal.SIGTERM)
        # Who asks is told, and who has not asked yet is still served.
        assert until(lambda: not is_ready(running))
        told = httpx.get(f"{running.url}/readyz")
        assert (told.status_code, told.json()["detail"]) == (503, "not ready: draining")
        assert len(answers) < AT_ONCE, "readiness fell before the last request was answered"
        with connect(running) as late:
            assert late.get("/v1/me").status_code == 200
        for thread in threads:
            thread.join(ENDS_S)
        assert answers == [200] * AT_ONCE
        assert until(lambda: exit_status(supervisor) == 0)
        assert not Path(f"/proc/{worker}").exists()


def test_a_worker_whose_supervisor_was_killed_ends_by_itself(
    make_home: Callable[[], Path], tiny_environment: dict[str, str]
) -> None:
    with serving(make_home(), env=tiny_environment) as running:
        supervisor, worker = processes(running)
        os.kill(supervisor, signal.SIGKILL)
        assert until(lambda: not Path(f"/proc/{worker}").exists())
        assert not is_ready(running)


def until(holds: Callable[[], bool]) -> bool:
    """Whether it came to hold in time."""
    deadline = time.monotonic() + ENDS_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def is_ready(running: Running) -> bool:
    try:
        return httpx.get(f"{running.url}/readyz", timeout=PROBE_S).status_code == 200
    except httpx.TransportError:
        return False


def rows_waiting(http: httpx.Client) -> float:
    lines = http.get("/metrics").text.splitlines()
    (found,) = [line for line in lines if line.startswith("tsugiki_waiting_rows ")]
    return float(found.split()[1])


def exit_status(pid: int) -> int | None:
    """None while it runs."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if found is None else found.si_status
