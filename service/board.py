"""What all workers measured, from the one that is asked: each leaves its own metrics where the others find them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsugiki.storage.presence import Presence

log = logging.getLogger(__name__)

LEAVE_EVERY_S = 2.0  # how old another worker's figures may be: far below any scraper's interval


class Board:
    """The expositions of all living workers as one, each series with its worker's number as label `worker`.

    A worker's series always come from its file, whoever is asked: else a counter might be told newer by its owner
    and older by another, which reads as a restart. On a full disk the files grow old, and are told as they are.
    """

    def __init__(self, folder: Path, presence: Presence, own: Callable[[], bytes]) -> None:
        self._folder = folder
        self._presence = presence
        self._own = own
        self._left = b""
        self._full = False
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._leave()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._thread.start()

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        self._leave()
        with self._presence.turn():
            alive = sorted(self._presence.alive())
        return merged((number, self._read(number)) for number in alive).encode()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._file(self._presence.number).unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._closed.wait(LEAVE_EVERY_S):
            try:
                self._leave()
            except Exception:
                # A gauge that cannot be read, say: what other workers know of this one grows old meanwhile.
                log.exception("the metrics of worker %d cannot be left", self._presence.number)

    def _leave(self) -> None:
        with self._turn:
            text = self._own()
            if text == self._left:
                return
            path = self._file(self._presence.number)
            part = path.with_suffix(".part")
            try:
                part.write_bytes(text)
                part.replace(path)
            except OSError as error:
                if not self._full:
                    log.warning("the metrics of worker %d cannot be left: %s", self._presence.number, error.strerror)
                self._full = True
            else:
                self._left, self._full = text, False

    def _read(self, number: int) -> str:
        try:
            return self._file(number).read_text()
        except FileNotFoundError:
            return ""  # that worker is about to start, or to end

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.prom"


def merged(expositions: Iterable[tuple[int, str]]) -> str:
    """`(1, "…x 2"), (2, "…x 3")` -> `…x{worker="1"} 2`, `x{worker="2"} 3` under one head for each family."""
    families: dict[str, list[str]] = {}
    for number, text in expositions:
        known = set(families)
        family: list[str] = []
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = families.setdefault(line.split(" ", 3)[2], [])
            if not line.startswith("#"):
                family.append(_labelled(line, number))
            elif line.split(" ", 3)[2] not in known:
                family.append(line)
    return "".join(f"{line}\n" for family in families.values() for line in family)


def _labelled(sample: str, number: int) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f'{name}{{worker="{number}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{number}"}} {value}'
