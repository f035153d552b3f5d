# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Blobs in whatever fsspec reaches (S3 and its like). The only file that meets fsspec, which has no types."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import BinaryIO, cast

from tsugiki.errors import Unavailable
from tsugiki.storage.blobs import CHUNK_BYTES, Found


class RemoteFiles:
    """`root` is a URL as fsspec takes it: `s3://bucket/folder`. An object store shows an object whole or not at all.

    What was put is read back once and compared: a store of others is believed when it has answered.
    """

    def __init__(self, root: str) -> None:
        from fsspec.core import url_to_fs

        self._files, self._root = url_to_fs(root)

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        sent = hashlib.sha256()
        with _told_as_ours():
            with self._files.open(self._at(path), "wb") as file:
                for chunk in chunks:
                    sent.update(chunk)
                    file.write(chunk)
            self._files.invalidate_cache()
            kept = hashlib.sha256()
            with self.read(path) as file:
                while chunk := file.read(CHUNK_BYTES):
                    kept.update(chunk)
        if kept.digest() != sent.digest():
            raise Unavailable("The store of blobs gave back other bytes than it was given.")

    def read(self, path: str) -> BinaryIO:
        try:
            return cast(BinaryIO, self._files.open(self._at(path), "rb"))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Unavailable("The store of blobs cannot be reached.") from error

    def remove(self, path: str) -> None:
        with _told_as_ours():
            if self._files.exists(self._at(path)):
                self._files.rm_file(self._at(path))

    def remove_folder(self, path: str) -> None:
        with _told_as_ours():
            if self._files.exists(self._at(path)):
                self._files.rm(self._at(path), recursive=True)

    def listing(self) -> Iterator[Found]:
        with _told_as_ours():
            for path in sorted(cast(list[str], self._files.find(self._root))):
                modified = cast(datetime, self._files.modified(path))
                aware = modified if modified.tzinfo else modified.replace(tzinfo=UTC)
                yield Found(path[len(self._root) :].lstrip("/"), aware.timestamp())

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


@contextmanager
def _told_as_ours() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable("The store of blobs cannot be reached.") from error
