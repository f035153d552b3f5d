"""What all processes measured, from the one that is asked: each leaves its own metrics where the others find them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tsugiki.storage.presence import lock

if TYPE_CHECKING:
    from tsugiki.storage.presence import Presence

log = logging.getLogger(__name__)

TRAINER = "trainer"  # its name among the workers, and that of the lock it holds
LEAVE_EVERY_S = 2.0  # how old another worker's figures may be: far below any scraper's interval


class Board:
    """The expositions of all living workers, and the trainer, as one: each series says whose it is by label `worker`.

    A worker's series always come from its file, whoever is asked: else a counter might be told newer by its owner
    and older by another, which reads as a restart. On a full disk the files grow old, and are told as they are.
    """

    def __init__(self, folder: Path, presence: Presence, own: Callable[[], bytes], *, several: bool = True) -> None:
        self._folder = folder
        self._presence = presence
        self._own = own
        # To write them takes some ms each time: where no other worker could be asked, they are read when they are.
        self._page = Page(folder, str(presence.number), own) if several else None

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        if self._page is None:
            pages = [(str(self._presence.number), self._own().decode())]
        else:
            self._page.leave()
            with self._presence.turn():
                pages = [(str(number), self._read(str(number))) for number in sorted(self._presence.alive())]
        if trainer_runs(self._folder):
            pages.append((TRAINER, self._read(TRAINER)))
        return merged(pages).encode()

    def close(self) -> None:
        if self._page is not None:
            self._page.close()

    def _read(self, name: str) -> str:
        try:
            return _file(self._folder, name).read_text()
        except FileNotFoundError:
            return ""  # that process is about to start, or to end


class Page:
    """One process's own metrics, left in a file every `LEAVE_EVERY_S` for whoever is asked for them."""

    def __init__(self, folder: Path, name: str, own: Callable[[], bytes]) -> None:
        self._path = _file(folder, name)
        self._own = own
        self._left = b""
        self._full = False
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self.leave()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        with self._turn:
            text = self._own()
            if text == self._left:
                return
            part = self._path.with_suffix(".part")
            try:
                part.write_bytes(text)
                part.replace(self._path)
            except OSError as error:
                if not self._full:
                    log.warning("the metrics of worker %s cannot be left: %s", self._path.stem, error.strerror)
                self._full = True
            else:
                self._left, self._full = text, False

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._closed.wait(LEAVE_EVERY_S):
            try:
                self.leave()
            except Exception:
                # A gauge that cannot be read, say: what others know of this process grows old meanwhile.
                log.exception("the metrics of worker %s cannot be left", self._path.stem)


def trainer_runs(folder: Path) -> bool:
    """Whether some process holds the lock that the trainer does while it runs."""
    handle = lock(folder / TRAINER, wait=False)
    if handle is not None:
        os.close(handle)
    return handle is None


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.prom"


def merged(expositions: Iterable[tuple[str, str]]) -> str:
    """`("1", "…x 2"), ("2", "…x 3")` -> `…x{worker="1"} 2`, `x{worker="2"} 3` under one head for each family."""
    families: dict[str, list[str]] = {}
    for name, text in expositions:
        known = set(families)
        family: list[str] = []
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = families.setdefault(line.split(" ", 3)[2], [])
            if not line.startswith("#"):
                family.append(_labelled(line, name))
            elif line.split(" ", 3)[2] not in known:
                family.append(line)
    return "".join(f"{line}\n" for family in families.values() for line in family)


def _labelled(sample: str, worker: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'
