"""Bytes under the name of their sha256, apart for each owner. Objects before pointers: a row names what is here."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple, Protocol

from tsugiki.errors import ArtifactCorrupt
from tsugiki.storage.clock import Clock, utc_now

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20  # read, hashed and sent at once: large enough for full disk speed, small in memory
OWNER = re.compile(r"[A-Za-z0-9_]+")  # an id of ours: nothing that could climb out of the root
SHA256 = re.compile(r"[0-9a-f]{64}")
MIN_AGE_S = 3600  # reliability: what was put within the hour may be about to be named by a row


class BlobName(NamedTuple):
    owner: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Found:
    """One file as a store lists it; `modified_s` in seconds of the epoch, by the store's clock."""

    path: str
    modified_s: float


class Files(Protocol):
    """Where blobs are kept. Paths are relative, with `/`. Raises StorageFull and Unavailable; so does what is read."""

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """All or nothing, and durable once it returned."""
        ...

    def read(self, path: str) -> BinaryIO:
        """Raises FileNotFoundError, or what is read does."""
        ...

    def remove(self, path: str, before_s: float) -> bool:
        """Unless it was written since `before_s`, in seconds of the epoch; says whether it removed anything."""
        ...

    def remove_folder(self, path: str) -> None: ...
    def listing(self) -> Iterator[Found]: ...


class Blobs:
    """`owner` is a project's id: erasing one project never touches another's identical bytes."""

    def __init__(self, files: Files, now: Clock = utc_now) -> None:
        self._files = files
        self._now = now
        # A put of bytes that are here already must not meet a sweep which is just removing them. Puts are noted
        # under the lock and written outside it: one tenant's slow upload keeps nobody else from publishing.
        self._turn = Lock()
        self._puts: set[_Put] = set()
        self._erasing = Lock()  # two who remove one folder trip over each other

    def put(self, owner: str, data: bytes) -> str:
        """Durable when it returns the sha256; the same bytes again are the same blob. Raises StorageFull."""
        sha = hashlib.sha256(data).hexdigest()
        with self._putting(owner, sha) as path:
            self._files.write(path, (data,))
        return sha

    def put_file(self, owner: str, source: Path) -> str:
        """A copy of a file of any size, in little memory; `source` stays."""
        with source.open("rb") as file:
            sha = _digest(file)
            file.seek(0)
            with self._putting(owner, sha) as path:
                self._files.write(path, _chunks(file))
        return sha

    def get(self, owner: str, sha256: str) -> bytes:
        """The bytes that were put. Raises ArtifactCorrupt if they are gone or changed."""
        with self._opened(owner, sha256) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _corrupt(owner, sha256, "changed")
        return data

    def open(self, owner: str, sha256: str) -> Iterator[bytes]:
        """The bytes in chunks, all checked before the first is given. Raises ArtifactCorrupt at once, as `get`."""
        with self._opened(owner, sha256) as file:
            if _digest(file) != sha256:
                raise _corrupt(owner, sha256, "changed")
        return self._stream(owner, sha256)

    def has(self, owner: str, sha256: str) -> bool:
        """Whether `get` would succeed; reads it all, for changed bytes are as good as none. Raises Unavailable."""
        try:
            self.open(owner, sha256)
        except ArtifactCorrupt:
            return False
        return True

    def kept(self, owner: str, sha256: str) -> bool:
        """Whether there is a file of that name, whatever is in it. Raises Unavailable."""
        try:
            with self._files.read(_path(owner, sha256)) as file:
                file.read(1)
        except FileNotFoundError:
            return False
        return True

    def owners(self) -> frozenset[str]:
        return frozenset(found.path.partition("/")[0] for found in self._files.listing())

    def delete_owner(self, owner: str) -> None:
        """Erase everything of one owner, for good: what is being put now goes when it has been. Nothing is fine."""
        folder = _checked(OWNER, owner)
        with self._turn:
            for put in self._puts:
                put.erased = put.erased or put.owner == owner
        self._remove(folder)

    def sweep(self, referenced: Collection[BlobName], older_than_s: float = MIN_AGE_S) -> int:
        """Remove what no row names and what half-finished writes left; says how many files.

        `referenced` must have been read before the call: what is put meanwhile is younger than `older_than_s`.
        """
        before_s = self._now().timestamp() - older_than_s
        removed = 0
        for found in self._files.listing():
            if found.modified_s >= before_s or _name(found.path) in referenced:
                continue
            # It may have been put again since it was listed: its age is asked again, and nobody puts it meanwhile.
            with self._turn:
                if all(put.path != found.path for put in self._puts):
                    removed += self._files.remove(found.path, before_s)
        return removed

    @contextmanager
    def _putting(self, owner: str, sha256: str) -> Generator[str]:
        put = _Put(owner, _path(owner, sha256))
        with self._turn:
            self._puts.add(put)
        try:
            yield put.path
        finally:
            with self._turn:
                self._puts.discard(put)
            if put.erased:
                self._remove(owner)

    def _remove(self, owner: str) -> None:
        with self._erasing:
            self._files.remove_folder(owner)

    @contextmanager
    def _opened(self, owner: str, sha256: str) -> Generator[BinaryIO]:
        try:
            with self._files.read(_path(owner, sha256)) as file:
                yield file
        except FileNotFoundError as error:  # also while it is read: a store of others opens it anew for each part
            raise _corrupt(owner, sha256, "missing") from error

    def _stream(self, owner: str, sha256: str) -> Generator[bytes]:
        with self._opened(owner, sha256) as file:
            yield from _chunks(file)


@dataclass(slots=True, eq=False)
class _Put:
    """A write that is under way. `erased` once its owner is gone: what it writes must go as well."""

    owner: str
    path: str
    erased: bool = False


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(file):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: BinaryIO) -> Generator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _path(owner: str, sha256: str) -> str:
    return f"{_checked(OWNER, owner)}/{sha256[:2]}/{_checked(SHA256, sha256)}"


def _name(path: str) -> BlobName | None:
    """None for a leftover of a write: no row can name it."""
    owner, _, rest = path.partition("/")
    sha256 = rest.rpartition("/")[2]
    return BlobName(owner, sha256) if SHA256.fullmatch(sha256) else None


def _checked(pattern: re.Pattern[str], part: str) -> str:
    if not pattern.fullmatch(part):
        raise ValueError(f"{part!r} is no part of a blob's path: this is a bug")
    return part


def _corrupt(owner: str, sha256: str, what: str) -> ArtifactCorrupt:
    log.error("blob %s of %s is %s", sha256, owner, what)
    return ArtifactCorrupt(f"A stored file of this project is {what}.", fix="Restore it from a backup, or adapt again.")
