"""Where blobs are kept, by the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tsugiki.storage.blobs import Blobs
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.remote_files import RemoteFiles

if TYPE_CHECKING:
    from service.settings import Settings

FOLDER = "file://"


def blobs_of(settings: Settings) -> Blobs:
    """Files in a folder are written by hand, because no library syncs it; what is elsewhere goes through fsspec."""
    url = settings.blobs_url
    if url is None:
        return Blobs(LocalFiles(settings.root / "blobs"))
    return Blobs(LocalFiles(Path(url.removeprefix(FOLDER))) if url.startswith(FOLDER) else RemoteFiles(url))
