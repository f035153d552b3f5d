"""A store of others fails in words of its own, at any moment: all of them become ours."""

from collections.abc import Callable, Generator

import pytest

from tests.storage.failing_store import FAILING, Broken, failing
from tsugiki.errors import Unavailable
from tsugiki.storage.blobs import Blobs, Files
from tsugiki.storage.remote_files import RemoteFiles

PATH = "proj_1/ab/abc"


@pytest.fixture
def files() -> Generator[Files]:
    files = RemoteFiles(f"{FAILING}://bucket")
    files.write(PATH, [b"data"])
    yield files
    files.remove_folder("proj_1")


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
