"""Blobs in a folder of this machine, published so that a name never shows half a file, power cut or not."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tsugiki.errors import StorageFull, TsugikiError, Unavailable
from tsugiki.storage.blobs import Found
from tsugiki.storage.reading import Reading

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNFINISHED = ".unfinished-"  # a temporary file's prefix; whatever crash leaves one, the sweep takes it


class LocalFiles:
    """Write to a temporary file beside the target, fsync, rename, fsync the folder: in this order only.

    Source: https://www.sqlite.org/atomiccommit.html and rename(2); without the folder's fsync the name may be
    lost with the power although the bytes are not.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        with _told_as_ours():
            root.mkdir(parents=True, exist_ok=True)

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        target = self._root / path
        unfinished = target.parent / f"{UNFINISHED}{secrets.token_hex(8)}"
        with _told_as_ours():
            self._make_folder(target.parent)
            try:
                with unfinished.open("xb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(unfinished, target)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            sync(target.parent)

    def read(self, path: str) -> BinaryIO:
        try:
            file = (self._root / path).open("rb", buffering=0)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _ours(error) from error
        return cast(BinaryIO, Reading(cast(BinaryIO, file), _told_as_ours))

    def remove(self, path: str, before_s: float) -> bool:
        target = self._root / path
        with _told_as_ours():
            try:
                if target.stat().st_mtime >= before_s:
                    return False
                target.unlink()
            except FileNotFoundError:
                return False  # its owner was erased meanwhile
        return True

    def remove_folder(self, path: str) -> None:
        folder = self._root / path
        with _told_as_ours():
            self._root.stat()  # raises when all blobs are away: that is not the same as gone
            if folder.exists():
                shutil.rmtree(folder)
                sync(self._root)

    def listing(self) -> Iterator[Found]:
        with _told_as_ours():
            self._root.stat()  # as above: what is not there has nothing in it
            for owner in _inside(self._root):
                for start in _inside(owner.path):
                    for file in _inside(start.path):
                        try:
                            modified_s = file.stat().st_mtime
                        except FileNotFoundError:
                            continue  # its owner was erased while we walked
                        yield Found(f"{owner.name}/{start.name}/{file.name}", modified_s)

    def _make_folder(self, folder: Path) -> None:
        if folder == self._root or folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(path: Path) -> None:
    """A file's bytes, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _inside(folder: str | Path) -> list[os.DirEntry[str]]:
    """By name; nothing where there is no folder, or none any more."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def _told_as_ours() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise _ours(error) from error


def _ours(error: OSError) -> TsugikiError:
    if error.errno in NO_ROOM:
        return StorageFull("The disk has no room for this.", fix="Free disk space; nothing has to be restarted.")
    return Unavailable(f"The folder of blobs cannot be read or written: {error.strerror}.")
