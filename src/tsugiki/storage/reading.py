"""A file opened for reading whose failures, also late ones, are told as its store tells them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from io import RawIOBase
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Reading(RawIOBase):
    """`told` is entered around each access to `file`, and raises in place of what the access raised."""

    def __init__(self, file: BinaryIO, told: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._told = told

    def readable(self) -> bool:
        return True

    def readall(self) -> bytes:
        with self._told():
            return self._file.read()

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        with self._told():
            data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            with self._told():
                self._file.close()
