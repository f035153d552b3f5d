"""A job that was taken and is run by nobody: `python -m tests.jobs.losing PLACE [broken]`. Raises.

The queue's database notes in one transaction who takes a job. Where its answer is lost, the one who did not hear it
runs nothing, and all others believe the note for as long as that one lives.
"""

import sys
import threading
from pathlib import Path

from sqlalchemy import create_engine, text

from tests.faults.several import soon
from tests.jobs.working import SOON_S
from tsugiki.jobs.deep_jobs import Step
from tsugiki.jobs.workflows import EXECUTOR, FILE, NUMBERED, Workflows
from tsugiki.storage.postgres import to_driver
from tsugiki.storage.sessions import TRAINING, SessionPresence

HELD, JOB = "adp_held", "adp_lost"
LOOKS = 5


def main(place: Path | str, broken: bool) -> None:
    runs, go_on = threading.Semaphore(0), threading.Event()

    def run(project_id: str, adaptation_id: str, step: Step) -> None:
        runs.release()
        if adaptation_id == HELD:
            assert go_on.wait(SOON_S)

    presence = None if isinstance(place, Path) else SessionPresence(place, TRAINING, threading.Event().set)
    workflows = Workflows(place, run, jobs=1, presence=presence)
    if broken:
        workflows._taken = lambda flow: False  # pyright: ignore[reportPrivateUsage]
    workflows.enqueue("ten_a", "proj_a", HELD)
    assert runs.acquire(timeout=SOON_S)
    workflows.enqueue("ten_b", "proj_b", JOB)
    _note(place, EXECUTOR if presence is None else f"{NUMBERED}{presence.number}")
    assert JOB in workflows.waiting(), "it may be about to begin"
    go_on.set()
    assert soon(lambda: HELD not in workflows.waiting(), SOON_S)
    looks = [workflows.waiting() for _ in range(LOOKS)]
    assert (looks[-1] == {JOB}) == broken, "nobody runs it"
    assert not runs.acquire(blocking=False)
    if not broken:
        workflows.enqueue("ten_b", "proj_b", JOB)
        assert runs.acquire(timeout=SOON_S), "it is run"
        assert soon(lambda: workflows.waiting() == set(), SOON_S), "and has ended"
    workflows.close()
    if presence is not None:
        presence.close()


def _note(place: Path | str, executor: str) -> None:
    """What the queue's database knows when it has noted that this executor takes the job."""
    engine = create_engine(f"sqlite:///{place / FILE}" if isinstance(place, Path) else to_driver(place))
    table = "workflow_status" if isinstance(place, Path) else "dbos.workflow_status"
    taken = f"UPDATE {table} SET status = 'PENDING', executor_id = :executor WHERE workflow_uuid = :job"
    with engine.begin() as connection:
        assert connection.execute(text(taken), {"executor": executor, "job": JOB}).rowcount == 1
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1]), len(sys.argv) > 2)
