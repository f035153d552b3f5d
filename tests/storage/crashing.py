"""Dies by SIGKILL at each step to the disk in turn: `python -m tests.storage.crashing HOME COPIES ACT...`.

For step n a fresh process works on COPIES/ACT/n, a copy of HOME, and writes what it has to acknowledge to the file
`acknowledged` there only once its act has returned. An act ends with the first process that lived.
"""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, event

from tests.storage.acts import Act, Fault, begin


def main(home: Path, act: Act | Fault, copies: Path) -> None:
    for deadly in itertools.count(1):
        copy = copies / str(deadly)
        shutil.copytree(home, copy)
        child = os.fork()  # and not a new interpreter: imports take a hundred times longer than the work
        if child == 0:
            work(copy, act, _dying_at(deadly))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def work(home: Path, act: Act | Fault, step: Callable[[], None]) -> None:
    do = begin(home, act, step)
    _watch(step)
    (home / "acknowledged").write_text(do())
    step()


def _dying_at(deadly: int) -> Callable[[], None]:
    count = itertools.count(1)

    def step() -> None:
        if next(count) == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def _watch(step: Callable[[], None]) -> None:
    """Each of these is a step: before every fsync, rename, unlink, new or removed folder, and before every commit."""
    fsync, replace, unlink, mkdir, rmdir = os.fsync, os.replace, os.unlink, os.mkdir, os.rmdir

    def fsync_step(handle: int) -> None:
        step()
        fsync(handle)

    def replace_step(source: Path, target: Path) -> None:
        step()
        replace(source, target)

    def unlink_step(path: str, *, dir_fd: int | None = None) -> None:
        step()
        unlink(path, dir_fd=dir_fd)

    def mkdir_step(path: str, mode: int = 0o777) -> None:
        step()
        mkdir(path, mode)

    def rmdir_step(path: str, *, dir_fd: int | None = None) -> None:
        step()
        rmdir(path, dir_fd=dir_fd)

    def commit_step(connection: Connection) -> None:
        step()

    os.fsync, os.replace, os.unlink, os.mkdir, os.rmdir = fsync_step, replace_step, unlink_step, mkdir_step, rmdir_step
    event.listen(Engine, "commit", commit_step)


if __name__ == "__main__":
    for named in sys.argv[3:]:
        main(Path(sys.argv[1]), cast("Act | Fault", named), Path(sys.argv[2]) / named)
