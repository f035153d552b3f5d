# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Blobs in whatever fsspec reaches (S3 and its like). The only file that meets fsspec, which has no types."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO, cast

from tsugiki.errors import TsugikiError, Unavailable
from tsugiki.storage.blobs import CHUNK_BYTES, Found
from tsugiki.storage.reading import Reading
from tsugiki.storage.silence import Silence

LISTED_TIME = "LastModified"  # S3 lists it with the name; asked for one by one, a sweep would take a request each
PROBE = ".probe-"  # no blob's name
# Left to themselves s3fs and what it is made of ask a server that says nothing for more than four minutes.
ANSWER_S = 4.0  # to one request; a store that needs longer to begin its answer is of no use to who predicts
TRIES = 3

log = logging.getLogger(__name__)


class RemoteFiles:
    """`root` is a URL as fsspec takes it: `s3://bucket/folder`. An object store shows an object whole or not at all.

    What was put is read back once and compared: a store of others is believed when it has answered. One that says
    nothing is found out by whoever asked first; from then on nobody waits for it until it answers again.
    """

    def __init__(self, root: str) -> None:
        """Reaches nothing yet. Raises Unavailable `blobs_unreachable` for a URL that nothing here can speak to."""
        from fsspec.core import url_to_fs

        try:
            # What others wrote meanwhile has to be seen: a listing that was kept would hide it.
            self._files, self._root = url_to_fs(root, use_listings_cache=False)
        except (
            Exception
        ) as error:  # a package that is missing, a scheme nobody knows, or what a store's own code raises
            # A URL may hold a password, and so may what is said of it: only the scheme is told.
            raise Unavailable(
                f"Blobs cannot be kept at a URL of scheme {root.partition('://')[0][:20]!r} ({type(error).__name__}).",
                fix="Correct the URL, or install the fsspec package for its scheme: for s3:// that is s3fs.",
                code="blobs_unreachable",
            ) from error
        if "s3" in self._files.protocol:
            self._files.connect_timeout = self._files.read_timeout = ANSWER_S
            self._files.retries = TRIES
            # Not as an option, which would push out what an operator has set by FSSPEC_S3.
            self._files.config_kwargs.setdefault("retries", {"total_max_attempts": 1})  # each try by itself
        self._silence = Silence("the store of blobs", self._answers)

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        sent = hashlib.sha256()
        with self._asking():
            file = self._files.open(self._at(path), "wb", autocommit=False)
            try:
                with file:
                    for chunk in chunks:
                        sent.update(chunk)
                        file.write(chunk)
            except BaseException:
                file.discard()  # closing alone would publish the half that there is
                raise
            file.commit()
            kept = hashlib.sha256()
            with self.read(path) as file:
                while chunk := file.read(CHUNK_BYTES):
                    kept.update(chunk)
        if kept.digest() != sent.digest():
            raise Unavailable("The store of blobs gave back other bytes than it was given.")

    def read(self, path: str) -> BinaryIO:
        with self._asking(missing=FileNotFoundError):
            file = cast(BinaryIO, self._files.open(self._at(path), "rb"))
        return cast(BinaryIO, Reading(file, partial(self._asking, missing=FileNotFoundError)))

    def remove(self, path: str, before_s: float) -> bool:
        try:
            with self._asking(missing=FileNotFoundError):
                if self._modified_s(self._at(path)) >= before_s:
                    return False
                self._files.rm_file(self._at(path))
        except FileNotFoundError:
            return False  # its owner was erased meanwhile
        return True

    def remove_folder(self, path: str) -> None:
        with self._asking():
            if self._files.exists(self._at(path)):
                self._files.rm(self._at(path), recursive=True)

    def listing(self) -> Iterator[Found]:
        with self._asking():
            listed = cast(dict[str, dict[str, object]], self._files.find(self._root, detail=True))
        for path, told in sorted(listed.items()):
            at = told.get(LISTED_TIME)
            try:
                with self._asking(missing=FileNotFoundError):
                    modified_s = _seconds(at) if isinstance(at, datetime) else self._modified_s(path)
            except FileNotFoundError:
                continue  # its owner was erased while we walked
            yield Found(path[len(self._root) :].lstrip("/"), modified_s)

    def reach(self) -> None:
        """Write a small file, and remove it. Raises Unavailable, with the kind of the failure."""
        probe = f"{PROBE}{secrets.token_hex(8)}"
        try:
            self._files.pipe_file(self._at(probe), b"tsugiki")
            self._files.rm_file(self._at(probe))
        except Exception as error:
            raise Unavailable(
                f"The store of blobs cannot be written to: {type(error).__name__}.",
                fix="See that the folder or bucket exists, and that the credentials may write to it.",
                code="blobs_unreachable",
            ) from error

    @contextmanager
    def _asking(self, missing: type[Exception] | tuple[()] = ()) -> Generator[None]:
        """`missing` passes as it is. Each store's library has errors of its own, and they share no base but Exception.

        For the same reason silence is told by how long it took to fail.
        """
        if self._silence.found():
            raise Unavailable("The store of blobs says nothing.")
        began = time.monotonic()
        try:
            yield
        except TsugikiError:
            raise
        except Exception as error:
            if isinstance(error, missing):
                self._silence.heard()
                raise
            if time.monotonic() - began >= ANSWER_S:
                self._silence.unanswered(began)
            # By its kind only: what it says may quote an address with its password.
            log.warning("the store of blobs failed: %s", type(error).__name__)
            raise Unavailable("The store of blobs cannot be reached.") from error
        self._silence.heard()

    def _answers(self) -> bool:
        began = time.monotonic()
        try:
            self._files.exists(self._at(PROBE))
        except Exception:  # whatever it says: then everybody is told so at once
            return time.monotonic() - began < ANSWER_S
        return True

    def _modified_s(self, path: str) -> float:
        return _seconds(cast(datetime, self._files.modified(path)))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


def _seconds(modified: datetime) -> float:
    return (modified if modified.tzinfo else modified.replace(tzinfo=UTC)).timestamp()
