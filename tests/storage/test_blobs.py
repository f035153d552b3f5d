"""One suite for every kind of files, then what is promised of local ones."""

import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import httpx
import numpy as np
import pytest

from tests.s3 import Server
from tests.storage.making import Stores
from tsugiki.errors import ArtifactCorrupt, StorageFull, Unavailable
from tsugiki.storage.blobs import CHUNK_BYTES, BlobName, Blobs, Files, Found
from tsugiki.storage.exports import Exports
from tsugiki.storage.local_files import UNFINISHED, LocalFiles
from tsugiki.storage.references import referenced_blobs
from tsugiki.storage.remote_files import RemoteFiles


@pytest.fixture(params=["local", "memory", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    match request.param:
        case "local":
            return LocalFiles(tmp_path / "blobs")
        case "memory":
            return RemoteFiles(f"memory://{uuid.uuid4().hex}")
        case _:
            s3: Server = request.getfixturevalue("s3")
            return RemoteFiles(f"s3://{s3.bucket()}/folder")


@pytest.fixture
def blobs(files: Files) -> Blobs:
    return Blobs(files)


def listed(files: Files) -> list[str]:
    return [found.path for found in files.listing()]


def test_bytes_come_back_under_their_sha256(blobs: Blobs) -> None:
    data = b"graft" * 1000
    sha = blobs.put("proj_1", data)
    assert sha == hashlib.sha256(data).hexdigest() == blobs.put("proj_1", data)
    assert blobs.get("proj_1", sha) == data
    assert b"".join(blobs.open("proj_1", sha)) == data


def test_a_large_file_goes_in_and_out_in_chunks(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / "export.zip"
    source.write_bytes(os.urandom(3 * CHUNK_BYTES + 17))
    sha = blobs.put_file("proj_1", source)
    chunks = list(blobs.open("proj_1", sha))
    assert max(len(chunk) for chunk in chunks) <= CHUNK_BYTES
    assert b"".join(chunks) == source.read_bytes()


def test_owners_do_not_share(blobs: Blobs) -> None:
    sha = blobs.put("proj_1", b"same")
    with pytest.raises(ArtifactCorrupt):
        blobs.get("proj_2", sha)
    assert blobs.put("proj_2", b"same") == sha
    blobs.delete_owner("proj_1")
    assert blobs.get("proj_2", sha) == b"same"
    for read in (blobs.get, blobs.open):
        with pytest.raises(ArtifactCorrupt):
            read("proj_1", sha)
    blobs.delete_owner("proj_1")


@pytest.mark.parametrize("files", ["local", "memory"], indirect=True)
def test_bytes_that_changed_are_refused(blobs: Blobs, files: Files) -> None:
    data = os.urandom(500)
    sha = blobs.put("proj_1", data)
    (path,) = listed(files)
    for bit in np.random.default_rng(0).integers(0, len(data) * 8, 300):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        files.write(path, [bytes(flipped)])
        with pytest.raises(ArtifactCorrupt):
            blobs.get("proj_1", sha)
    for size in (0, 1, 499):
        files.write(path, [data[:size]])
        for read in (blobs.get, blobs.open):
            with pytest.raises(ArtifactCorrupt):
                read("proj_1", sha)
    blobs.put("proj_1", data)
    assert blobs.get("proj_1", sha) == data


@pytest.mark.parametrize(("owner", "sha"), [("..", "0" * 64), ("a/b", "0" * 64), ("", "0" * 64), ("proj_1", "../x")])
def test_no_name_leads_out_of_the_root(blobs: Blobs, owner: str, sha: str) -> None:
    with pytest.raises(ValueError, match="bug"):
        blobs.get(owner, sha)


def test_a_sweep_takes_what_is_old_and_unnamed_only(files: Files) -> None:
    now = datetime.now(UTC)
    blobs = Blobs(files, lambda: now + timedelta(hours=2))
    named, unnamed = blobs.put("proj_1", b"named"), blobs.put("proj_1", b"unnamed")
    blobs.put("proj_2", b"named")  # the same bytes, but nobody names this owner's
    assert blobs.sweep({BlobName("proj_1", named)}, older_than_s=3 * 3600) == 0
    assert blobs.sweep({BlobName("proj_1", named)}) == 2
    assert blobs.get("proj_1", named) == b"named"
    with pytest.raises(ArtifactCorrupt):
        blobs.get("proj_1", unnamed)


def test_rows_name_their_blobs(stores: Stores) -> None:
    project = stores.project()
    version = stores.publish(project)
    exports = Exports(stores.database, stores.blobs)
    export = exports.create(project.id, version.number, "fp32")
    zipped = stores.blobs.put(project.id, b"zip")
    exports.finish(export.id, 3, zipped, {}, {})
    stores.blobs.put(project.id, b"left behind")
    blobs = Blobs(LocalFiles(stores.home / "blobs"), lambda: datetime.now(UTC) + timedelta(hours=2))
    assert blobs.sweep(referenced_blobs(stores.database)) == 1
    assert stores.registry.graft(version).method == "head"
    assert stores.registry.evaluation(version) == {"accuracy": {"value": 0.5}}
    assert stores.blobs.get(project.id, zipped) == b"zip"


def test_leftovers_of_a_killed_write_are_swept(tmp_path: Path) -> None:
    blobs = Blobs(LocalFiles(tmp_path), lambda: datetime.now(UTC) + timedelta(hours=2))
    blobs.put("proj_1", b"data")
    leftover = tmp_path / "proj_1" / "ab" / f"{UNFINISHED}0"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    assert blobs.sweep(()) == 2
    assert not leftover.exists()


def test_a_publish_is_written_synced_renamed_and_the_folder_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        steps.append("fsync " + ("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file"))
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        steps.append("rename" if source.parent == target.parent else "rename across folders")
        replace(source, target)

    blobs = Blobs(LocalFiles(tmp_path))
    blobs.put("proj_1", b"a")
    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    blobs.put("proj_1", b"a")
    assert steps == ["fsync file", "rename", "fsync folder"]


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, Unavailable)]
)
def test_a_failed_write_leaves_no_file(tmp_path: Path, number: int, error: type[Exception]) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half"
        raise OSError(number, os.strerror(number))

    def write(chunks: Iterable[bytes]) -> None:
        LocalFiles(tmp_path).write("proj_1/ab/abc", chunks)

    write([b"old"])
    with pytest.raises(error):
        write(failing())
    assert listed(LocalFiles(tmp_path)) == ["proj_1/ab/abc"]
    assert (tmp_path / "proj_1/ab/abc").read_bytes() == b"old"


@pytest.mark.parametrize("files", ["local", "s3"], indirect=True)
def test_a_write_that_breaks_off_leaves_what_there_was(files: Files) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.EIO, "the source")

    files.write("proj_1/ab/abc", [b"old"])
    for path in ("proj_1/ab/abc", "proj_1/ab/new"):
        with pytest.raises(Unavailable):
            files.write(path, failing())
    assert listed(files) == ["proj_1/ab/abc"]
    with files.read("proj_1/ab/abc") as file:
        assert file.read() == b"old"


def test_what_goes_while_it_is_read_is_missing_which_does_not_mean_that_its_store_is_away(s3: Server) -> None:
    class Fleeting(RemoteFiles):
        def read(self, path: str) -> BinaryIO:
            file = super().read(path)
            self.remove_folder(path.partition("/")[0])
            return file

    url = f"s3://{s3.bucket()}/folder"
    fleeting = Blobs(Fleeting(url))
    for read in (fleeting.get, fleeting.open):
        sha = Blobs(RemoteFiles(url)).put("proj_1", b"graft")
        with pytest.raises(ArtifactCorrupt):
            read("proj_1", sha)


def test_what_another_process_writes_and_erases_is_seen_at_once(s3: Server) -> None:
    bucket = s3.bucket()
    mine = Blobs(RemoteFiles(f"s3://{bucket}/folder"))
    mine.put("proj_1", b"mine")
    assert mine.owners() == {"proj_1"}
    httpx.put(f"{s3.endpoint}/{bucket}/folder/proj_2/ab/abc", content=b"another's").raise_for_status()
    assert mine.owners() == {"proj_1", "proj_2"}
    mine.delete_owner("proj_2")
    assert mine.owners() == {"proj_1"}


def test_a_root_that_is_no_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        LocalFiles(tmp_path / "file")


class Interrupted(LocalFiles):
    """Calls `between` after a listing found a file, and before what was found is told."""

    def __init__(self, root: Path, between: Callable[[], object]) -> None:
        super().__init__(root)
        self._between = between

    def listing(self) -> Iterator[Found]:
        for found in super().listing():
            self._between()
            yield found


def test_a_blob_that_is_put_again_while_it_is_swept_stays(tmp_path: Path) -> None:
    blobs = Blobs(LocalFiles(tmp_path))
    sha = blobs.put("proj_1", b"old")
    (file,) = tmp_path.rglob(sha)
    os.utime(file, (0, 0))
    swept = Blobs(Interrupted(tmp_path, lambda: swept.put("proj_1", b"old")))
    assert swept.sweep(()) == 0
    assert swept.get("proj_1", sha) == b"old"
    os.utime(file, (0, 0))
    assert blobs.sweep(()) == 1  # nobody put it this time


class Paused(LocalFiles):
    """Calls `between` when a write has its bytes and has not returned yet."""

    def __init__(self, root: Path, between: Callable[[], object]) -> None:
        super().__init__(root)
        self._between = between

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        super().write(path, chunks)
        between, self._between = self._between, lambda: None
        between()


def test_a_slow_put_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    def others() -> None:
        blobs.put("proj_1", b"quick")
        blobs.put("proj_2", b"quick")
        blobs.delete_owner("proj_2")
        assert blobs.sweep((), older_than_s=0) == 0

    files = Paused(tmp_path, others)
    blobs = Blobs(files, lambda: datetime.fromtimestamp(1, UTC))
    sha = blobs.put("proj_1", b"slow")
    assert blobs.get("proj_1", sha) == b"slow"


def test_a_blob_that_is_being_put_is_not_swept_however_old_it_looks(tmp_path: Path) -> None:
    blobs = Blobs(Paused(tmp_path, lambda: blobs.sweep(())), lambda: datetime.now(UTC) + timedelta(hours=2))
    sha = blobs.put("proj_1", b"data")
    assert blobs.get("proj_1", sha) == b"data"
    assert blobs.sweep(()) == 1


def test_what_is_put_while_its_owner_is_erased_goes_as_well(tmp_path: Path) -> None:
    blobs = Blobs(Paused(tmp_path, lambda: blobs.delete_owner("proj_1")))
    late = Blobs(Paused(tmp_path, lambda: (late.delete_owner("proj_2"), late.put("proj_3", b"other"))))
    sha = blobs.put("proj_1", b"data")
    late.put("proj_2", b"data")
    assert not blobs.has("proj_1", sha)
    assert blobs.owners() == {"proj_3"}


def test_a_blob_is_there_only_as_a_whole(blobs: Blobs, files: Files) -> None:
    sha = blobs.put("proj_1", b"data")
    assert blobs.has("proj_1", sha)
    assert not blobs.has("proj_2", sha)
    files.write(listed(files)[0], [b"dat"])
    assert not blobs.has("proj_1", sha)


def test_what_was_written_since_is_not_removed(files: Files) -> None:
    files.write("proj_1/ab/abc", [b"data"])
    (found,) = files.listing()
    assert not files.remove(found.path, found.modified_s)
    assert files.remove(found.path, found.modified_s + 1)
    assert not files.remove(found.path, found.modified_s + 1)


def test_a_disk_that_fails_while_reading_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "proj_1" / "00" / ("0" * 64)
    path.parent.mkdir(parents=True)
    path.symlink_to("/proc/self/mem")  # opens, and answers EIO at its beginning
    blobs = Blobs(LocalFiles(tmp_path))
    for read in (blobs.get, blobs.open):
        with pytest.raises(Unavailable):
            read("proj_1", path.name)


def test_two_who_erase_the_same_do_not_trip_over_each_other(tmp_path: Path) -> None:
    blobs = Blobs(LocalFiles(tmp_path))
    for number in range(200):
        blobs.put("proj_1", b"%d" % number)
    with ThreadPoolExecutor(4) as pool:
        for erased in [pool.submit(blobs.delete_owner, "proj_1") for _ in range(4)]:
            erased.result()
    assert blobs.owners() == frozenset()
