"""Dies by SIGKILL at each step to the disk in turn: `python -m tests.storage.crashing HOME ACTION COPIES`.

For step n a fresh process works on COPIES/n, a copy of HOME, and writes the number of a version to
COPIES/n/acknowledged only once its publish has returned. Ends after the first process that lived.
"""

import hashlib
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, event

from tests.storage.making import new_version, open_stores
from tsugiki.domain import LIVE
from tsugiki.errors import Issue
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.fixes import Aside, quarantine
from tsugiki.storage.presence import ALONE
from tsugiki.storage.registry import Registry


class LateBlobs(Blobs):
    """The fault that must be found: answers before it has written, so that rows come before their blobs."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._late: list[tuple[str, bytes]] = []

    def put(self, owner: str, data: bytes) -> str:
        self._late.append((owner, data))
        return hashlib.sha256(data).hexdigest()

    def write(self, project_id: str) -> None:
        for owner, data in self._late:
            self._blobs.put(owner, data)


def main(home: Path, action: str, copies: Path) -> None:
    for deadly in itertools.count(1):
        copy = copies / str(deadly)
        shutil.copytree(home, copy)
        child = os.fork()  # and not a new interpreter: imports take a hundred times longer than the work
        if child == 0:
            work(copy, action, _dying_at(deadly))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def work(home: Path, action: str, step: Callable[[], None]) -> None:
    stores = open_stores(home)
    (tenant,) = stores.tenants.list().data
    project = stores.projects.get(tenant.id, "support")
    _watch(step)
    if action == "delete":
        stores.projects.delete(project)
        return
    if action == "publish_rows_first":
        late = LateBlobs(stores.blobs)
        registry = Registry(stores.database, late, late.write)
    else:
        registry = Registry(stores.database, stores.blobs, lambda _: step())
    (job,) = stores.adaptations.take_over({ALONE})
    new = new_version(project, stores.database.ids.new("snp"), fill=2)
    gate = {"reason": "better"}
    (suspect,) = stores.samples.list(project.id).data
    aside = Aside({suspect.id: Issue("label_suspect", "/label", "suspect", "look")}, {suspect.id: "no"})
    apart = action == "publish_quarantine_apart"
    version = registry.publish(
        project.id, new, job.id, job.attempts, LIVE, 1, gate, {}, job.id, aside=None if apart else aside
    )
    if apart:  # the fault that must be found: what belongs to the version comes after it
        with stores.database.write() as session:
            quarantine(session, project.id, aside)
    (home / "acknowledged").write_text(str(version.number))
    step()


def _dying_at(deadly: int) -> Callable[[], None]:
    count = itertools.count(1)

    def step() -> None:
        if next(count) == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def _watch(step: Callable[[], None]) -> None:
    """Each of these is a step: before every fsync, rename and unlink, and before every commit."""
    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def fsync_step(handle: int) -> None:
        step()
        fsync(handle)

    def replace_step(source: Path, target: Path) -> None:
        step()
        replace(source, target)

    def unlink_step(path: str, *, dir_fd: int | None = None) -> None:
        step()
        unlink(path, dir_fd=dir_fd)

    def commit_step(connection: Connection) -> None:
        step()

    os.fsync, os.replace, os.unlink = fsync_step, replace_step, unlink_step
    event.listen(Engine, "commit", commit_step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
