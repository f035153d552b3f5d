"""Dies by SIGKILL at each step of a restore in turn, always to the same place: `… SOURCE HOME PLACE BLOBS [broken]`.

Nothing is cleared between two kills. What each left is a line of JSON; the last one is of the restore that lived.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, Engine, event

from tsugiki.errors import TsugikiError
from tsugiki.storage import restoring
from tsugiki.storage.backup import restore
from tsugiki.storage.blobs import Blobs, Files, Found
from tsugiki.storage.database import Database
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.references import referenced_blobs
from tsugiki.storage.remote_files import RemoteFiles
from tsugiki.storage.rows import has_rows

FAR = 4  # steps between two kills where each process takes a second to reach its stores


class Deadly:
    """Files whose every change is a step before and a step after."""

    def __init__(self, files: Files, step: Callable[[], None]) -> None:
        self._files = files
        self._step = step

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        self._step()
        self._files.write(path, chunks)
        self._step()

    def read(self, path: str) -> BinaryIO:
        return self._files.read(path)

    def remove(self, path: str, before_s: float) -> bool:
        return self._files.remove(path, before_s)

    def remove_folder(self, path: str) -> None:
        self._step()
        self._files.remove_folder(path)
        self._step()

    def listing(self) -> Iterator[Found]:
        return self._files.listing()


def main(source: Path, home: Path, place: Path | str, url: str, broken: bool) -> None:
    if broken:
        restoring.mark = lambda blobs: None
    for deadly in itertools.count(1, 1 if isinstance(place, Path) else FAR):
        status = _forked(lambda: _restore(source, home, place, url, deadly))  # noqa: B023  # called at once
        _forked(lambda: _tell(place, url, status))  # noqa: B023
        if status != -signal.SIGKILL:
            return


def _forked(do: Callable[[], None]) -> int:
    """In a process of its own, and not a new interpreter: imports take longer than the work."""
    child = os.fork()
    if child == 0:
        try:
            do()
        except TsugikiError as error:
            sys.stderr.write(f"{error.detail}\n")
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _restore(source: Path, home: Path, place: Path | str, url: str, deadly: int) -> None:
    count = itertools.count(1)

    def step() -> None:
        if next(count) == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    replace = os.replace

    def replace_step(old: Path, new: Path) -> None:
        step()
        replace(old, new)
        step()

    def commit_step(connection: Connection) -> None:
        step()

    os.replace = replace_step
    event.listen(Engine, "commit", commit_step)
    restore(source, place, home, Blobs(Deadly(_files(url), step)))


def _tell(place: Path | str, url: str, status: int) -> None:
    blobs, rows = Blobs(_files(url)), has_rows(place)
    told: dict[str, Any] = {"status": status, "marked": restoring.marked(blobs), "rows": rows}  # Any: JSON
    told["files"] = sum(not found.path.startswith(restoring.OWNER) for found in _files(url).listing())
    if rows:
        with closing(Database(place)) as database:
            told["whole"] = all(blobs.has(*name) for name in referenced_blobs(database))
    sys.stdout.write(json.dumps(told) + "\n")


def _files(url: str) -> Files:
    return RemoteFiles(url) if "://" in url else LocalFiles(Path(url))


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]), Path(given[1]), given[2] if "://" in given[2] else Path(given[2]), given[3], len(given) > 4)
