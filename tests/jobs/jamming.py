"""A job whose end cannot be written: `python -m tests.jobs.jamming FOLDER`; dbos is one a process. Raises."""

import logging
import resource
import sys
import threading
from pathlib import Path

from tests.faults.several import soon
from tests.jobs.working import SOON_S
from tsugiki.errors import Unavailable
from tsugiki.jobs.deep_jobs import Step
from tsugiki.jobs.workflows import Workflows

JOB = "adp_jammed"


class Heard(logging.Handler):
    """Set once dbos has told of an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.told.set()


def main(folder: Path) -> None:
    runs = threading.Semaphore(0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    jam = True

    def run(project_id: str, adaptation_id: str, step: Step) -> None:
        if jam:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # as a full disk: nothing is written any more
        runs.release()

    workflows, heard = Workflows(folder, run, jobs=1), Heard()
    logging.getLogger("dbos").addHandler(heard)
    workflows.enqueue("ten_a", "proj_a", JOB)
    assert runs.acquire(timeout=SOON_S) and heard.told.wait(SOON_S), "its end was not to be written"
    try:
        workflows.enqueue("ten_b", "proj_b", "adp_other")
    except Unavailable:
        jam = False
    assert not jam, "nothing else can be written either"
    assert workflows.waiting() == {JOB}, "its end may be about to be written"
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert workflows.waiting() == set(), "nobody runs it"
    workflows.enqueue("ten_a", "proj_a", JOB)
    assert runs.acquire(timeout=SOON_S), "it is run again"
    assert soon(lambda: workflows.waiting() == set(), SOON_S), "and has ended"
    workflows.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
