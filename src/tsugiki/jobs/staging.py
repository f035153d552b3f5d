"""Where an export is made: a folder that is gone once it has ended, and in which its attempts are counted."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tsugiki.errors import StorageFull
from tsugiki.jobs.attempts import MAX_ATTEMPTS, TROUBLE, Stopped
from tsugiki.storage.local_files import NO_ROOM

WORK = "work"  # the folder of an attempt's files within its export's own


class Stage:
    """One export's folder. The marks of its attempts outlive the process, as a killed one has no time to count."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._work = folder / WORK

    @property
    def attempts(self) -> int:
        """Begun and not over with: they took the process down, or met trouble."""
        return len(list(self._folder.glob("attempt-*")))

    def begin(self) -> None:
        """Count one more. Raises StorageFull."""
        with _no_room_is_told():
            shutil.rmtree(self._work, ignore_errors=True)
            self._work.mkdir(parents=True)
            self._mark(self.attempts + 1).touch()

    @contextmanager
    def attempt(self) -> Generator[Path]:
        """The empty folder for the files of the attempt that was begun. Raises StorageFull besides the block's own."""
        keeps_count = False
        try:
            with _no_room_is_told():
                yield self._work
        except Stopped:
            self._mark(self.attempts).unlink()
            keeps_count = True
            raise
        except TROUBLE:
            keeps_count = self.attempts < MAX_ATTEMPTS
            raise
        finally:
            shutil.rmtree(self._work if keeps_count else self._folder, ignore_errors=True)

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _mark(self, attempt: int) -> Path:
        return self._folder / f"attempt-{attempt}"


def clear_work(stage: Path) -> None:
    """Remove what killed processes were at; only while no process exports. How often each was tried stays known."""
    for work in stage.glob(f"*/{WORK}"):
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _no_room_is_told() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise StorageFull("the disk has no room for an export", fix="free disk space") from error
