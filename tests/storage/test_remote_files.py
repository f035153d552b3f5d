"""A store of others fails in words of its own, at any moment: all of them become ours."""

import time
from collections.abc import Callable, Generator

import pytest
from s3fs import S3FileSystem

from tests.gate import Gate
from tests.s3 import Server
from tests.storage.failing_store import FAILING, Broken, failing
from tsugiki.errors import Unavailable
from tsugiki.storage.blobs import Blobs, Files
from tsugiki.storage.remote_files import RemoteFiles
from tsugiki.storage.silence import Silence

PATH = "proj_1/ab/abc"
NO_ANSWER, KNOWN = "The store of blobs cannot be reached.", "The store of blobs says nothing."
LONG_S = 30.0  # what takes so long has hung


@pytest.fixture
def files() -> Generator[Files]:
    files = RemoteFiles(f"{FAILING}://bucket")
    files.write(PATH, [b"data"])
    yield files
    files.remove_folder("proj_1")


@pytest.fixture
def gate(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Generator[Gate]:
    """In front of S3, whose clients find it there."""
    gate = Gate(int(s3.endpoint.rpartition(":")[2]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{gate.port}")
    S3FileSystem.clear_instance_cache()  # those of before are known by their options, not by where they ask
    yield gate
    S3FileSystem.clear_instance_cache()
    gate.close()


def drain(files: Files) -> None:
    with files.read(PATH) as file:
        file.read()


CALLS: dict[str, Callable[[Files], object]] = {
    "open": lambda files: files.write(PATH, [b"new"]),
    "read": drain,
    "find": lambda files: list(files.listing()),
    "modified": lambda files: list(files.listing()),
    "rm_file": lambda files: files.remove(PATH, 1e12),
    "rm": lambda files: files.remove_folder("proj_1"),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_error_of_the_stores_own_kind_is_unavailable_and_passes(files: Files, call: str) -> None:
    with failing(call), pytest.raises(Unavailable) as refused:
        CALLS[call](files)
    assert isinstance(refused.value.__cause__, Broken)
    CALLS[call](files)


def test_a_blob_whose_reading_breaks_off_is_not_told_as_damaged(files: Files) -> None:
    blobs = Blobs(files)
    sha = blobs.put("proj_1", b"data")
    for read in (blobs.get, blobs.open, blobs.has):
        with failing("read"), pytest.raises(Unavailable):
            read("proj_1", sha)
    assert blobs.get("proj_1", sha) == b"data"


@pytest.mark.parametrize("url", ["nosuchscheme://user:secret@bucket/folder", "nosuchscheme:///"])
def test_a_url_that_nothing_here_speaks_is_told_without_its_password(url: str) -> None:
    with pytest.raises(Unavailable) as refused:
        RemoteFiles(url)
    assert refused.value.reason == "blobs_unreachable"
    assert refused.value.fix
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize("broken", [False, True])
def test_a_store_that_says_nothing_is_found_out_once_for_all(
    broken: bool, gate: Gate, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes after the first asks it nothing; it is asked by nobody's request until it answers."""
    monkeypatch.setattr("tsugiki.storage.remote_files.ANSWER_S", 0.5)
    if broken:
        monkeypatch.setattr(Silence, "found", _never)
    files = RemoteFiles(f"s3://{s3.bucket()}/folder")
    files.write(PATH, [b"data"])
    with gate.mute():
        told = [_told(files) for _ in range(3)]
    assert told == ([NO_ANSWER, NO_ANSWER, NO_ANSWER] if broken else [NO_ANSWER, KNOWN, KNOWN])
    began = time.monotonic()
    while _told(files):
        assert time.monotonic() - began < LONG_S, "it heals by itself"


def test_a_store_that_refuses_is_not_silent(gate: Gate, s3: Server) -> None:
    """Each is told so by the store, at once."""
    files = RemoteFiles(f"s3://{s3.bucket()}/folder")
    files.write(PATH, [b"data"])
    with gate.closed():
        assert [_told(files) for _ in range(2)] == [NO_ANSWER, NO_ANSWER]
    assert not _told(files)


def _told(files: Files) -> str:
    try:
        drain(files)
    except Unavailable as refused:
        return refused.detail
    return ""


def _never(silence: Silence) -> bool:
    return False
