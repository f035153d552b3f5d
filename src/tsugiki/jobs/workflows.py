"""dbos, as far as the deep lane needs it: jobs in a queue that outlives the process, and the steps that were done.

It holds ids and timings only, in JSON, in a file or a schema of its own: what it forgot could be found out again from
the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID, WorkflowStatus
from sqlalchemy.exc import DBAPIError

from tsugiki.errors import Unavailable
from tsugiki.jobs.deep_jobs import Step, StepName

if TYPE_CHECKING:
    from tsugiki.storage.presence import Present

FILE = "trainer.db"
QUEUE = "deep"
EXECUTOR = "trainer"  # of an SQLite home there is one at a time, so what a former one left is this one's
NUMBERED = EXECUTOR + "-"  # trainers that share a server: what one of the same number left is this one's
CONNECTIONS = 5  # of a server that has 100 in all unless told otherwise
FORMAT = "1"  # of the steps: what another one left half done begins again
POLL_S = 0.2  # a job waits 0.2 s for an idle trainer (p50, measured), which takes 3 % of a core by looking
ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

Run = Callable[[str, str, Step], None]


class Workflows:
    """At most `jobs` run at a time, of all trainers one a tenant; each in a thread of its own that calls `run`.

    One per process: dbos is a singleton. What the process before left unfinished is queued again at once.
    `place` is as `Database` takes it; `presence` is among the trainers, where there may be several.
    """

    def __init__(self, place: Path | str, run: Run, *, jobs: int, presence: Present | None = None) -> None:
        self._presence = presence
        self._executor = EXECUTOR if presence is None else f"{NUMBERED}{presence.number}"
        config: DBOSConfig = {
            "name": "tsugiki",
            "system_database_url": f"sqlite:///{place / FILE}" if isinstance(place, Path) else _noticing_loss(place),
            "sys_db_pool_size": CONNECTIONS,
            "executor_id": self._executor,
            "application_version": FORMAT,
            "serializer": DBOSPortableJSONSerializer(),  # the default one is pickle (I9)
            "log_level": "WARNING",
        }
        DBOS(config=config)

        self._running: list[str] = []  # jobs that have a thread; twice, where one was lost to the queue and taken again
        self._idle: frozenset[str] = frozenset()  # those that were this process's by the last look, and had none

        def adapt(project_id: str, adaptation_id: str) -> None:
            self._running.append(adaptation_id)
            try:
                run(project_id, adaptation_id, _step)
            finally:
                self._running.remove(adaptation_id)

        self._adapt = DBOS.workflow(name="adapt", max_recovery_attempts=None)(adapt)
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=jobs,
            partition_concurrency=1,
            polling_interval_sec=POLL_S,
            on_conflict="always_update",
        )

    def waiting(self) -> set[str]:
        """Jobs that run or will. Others are forgotten by the call: those that ended, or are of another format.

        Also forgotten are jobs that dbos lists as taken by this process but that no thread here runs, for example
        because a full disk kept their end from being written, or the database's answer was lost. Nobody else would run
        them. Two calls in a row must find a job so. Raises Unavailable.
        """
        with _told_as_ours():
            found = DBOS.list_workflows(load_input=False, load_output=False)
            idle = frozenset(flow.workflow_id for flow in found if self._taken(flow)).difference(self._running)
            kept = {flow.workflow_id for flow in found if not _over(flow)} - (idle & self._idle)
            if gone := [flow.workflow_id for flow in found if flow.workflow_id not in kept]:
                DBOS.delete_workflows(gone)
        self._idle = idle
        return kept

    def recover(self) -> None:
        """Queue again what trainers that are gone had running, wherever they were. Raises Unavailable."""
        if self._presence is None:
            return
        with _told_as_ours():
            self._recover(self._presence)

    def enqueue(self, tenant_id: str, project_id: str, adaptation_id: str) -> None:
        """The same job again is the same job. Raises Unavailable."""
        with _told_as_ours(), SetWorkflowID(adaptation_id), SetEnqueueOptions(queue_partition_key=tenant_id):
            DBOS.enqueue_workflow(QUEUE, self._adapt, project_id, adaptation_id)

    def close(self) -> None:
        DBOS.destroy()

    def _taken(self, flow: WorkflowStatus) -> bool:
        return flow.status == "PENDING" and flow.executor_id == self._executor

    def _recover(self, presence: Present) -> None:
        running = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        executors = {flow.executor_id or "" for flow in running} - {self._executor}
        numbers = {int(name.removeprefix(NUMBERED)) for name in executors if name.startswith(NUMBERED)}
        with presence.turn():
            if gone := sorted(f"{NUMBERED}{number}" for number in presence.gone(numbers)):
                # What dbos does at each start for its own executor, and its own service does for those that died.
                DBOS._recover_pending_workflows(gone)  # pyright: ignore[reportPrivateUsage]


def _step(name: StepName, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:  # Any: JSON
    return DBOS.run_step({"name": name}, do)


def _noticing_loss(url: str) -> str:
    from tsugiki.storage.postgres import noticing_loss  # of no use, and of some weight, where all is in a file

    return noticing_loss(url)


@contextmanager
def _told_as_ours() -> Generator[None]:
    try:
        yield
    except DBAPIError as error:
        raise Unavailable("the trainer's own rows of jobs cannot be read or written") from error


def _over(flow: WorkflowStatus) -> bool:
    return flow.status in ENDED or flow.app_version != FORMAT
