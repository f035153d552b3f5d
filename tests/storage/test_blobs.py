"""One suite for every kind of files, then what is promised of local ones."""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.storage.making import Stores
from tsugiki.errors import ArtifactCorrupt, StorageFull, Unavailable
from tsugiki.storage.blobs import CHUNK_BYTES, BlobName, Blobs, Files
from tsugiki.storage.exports import Exports
from tsugiki.storage.local_files import UNFINISHED, LocalFiles
from tsugiki.storage.references import referenced_blobs
from tsugiki.storage.remote_files import RemoteFiles


@pytest.fixture(params=["local", "remote"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return LocalFiles(tmp_path / "blobs") if request.param == "local" else RemoteFiles(f"memory://{uuid.uuid4().hex}")


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
    exports = Exports(stores.database)
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


def test_a_root_that_is_no_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        LocalFiles(tmp_path / "file")
