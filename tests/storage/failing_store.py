# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportMissingParameterType=false
# pyright: reportUntypedBaseClass=false, reportIncompatibleMethodOverride=false
"""A store as fsspec knows them whose errors are no OSErrors, as those of S3's library are not. fsspec has no types."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

FAILING = "failing"


class Broken(Exception):
    """What the store's own library raises."""


class FailingFile:
    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        FailingStore.reach("read")
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()


class FailingStore(MemoryFileSystem):
    """Everything works but the call named in `broken`."""

    protocol = FAILING
    broken = ""

    @classmethod
    def reach(cls, call: str) -> None:
        if call == cls.broken:
            raise Broken(call)

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:  # Any: as fsspec's own
        self.reach("open")
        file = super().open(path, mode, **options)
        return FailingFile(file) if mode == "rb" else file

    def find(self, path: str, **options: Any) -> Any:
        self.reach("find")
        return super().find(path, **options)

    def modified(self, path: str) -> Any:
        self.reach("modified")
        return super().modified(path)

    def rm_file(self, path: str) -> None:
        self.reach("rm_file")
        super().rm_file(path)

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        self.reach("rm")
        super().rm(path, recursive, maxdepth)


fsspec.register_implementation(FAILING, FailingStore, clobber=True)


@contextmanager
def failing(call: str) -> Generator[None]:
    FailingStore.broken = call
    try:
        yield
    finally:
        FailingStore.broken = ""
