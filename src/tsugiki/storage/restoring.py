"""The mark of a restore that has not ended: put before its first file, removed after its last row.

It is a blob like any other, so that all who share them see it, wherever they are kept.
"""

from __future__ import annotations

import hashlib

from tsugiki.storage.blobs import Blobs

OWNER = "restoring"
MARK = b"a restore that has not ended"
SHA256 = hashlib.sha256(MARK).hexdigest()


def mark(blobs: Blobs) -> None:
    blobs.put(OWNER, MARK)


def marked(blobs: Blobs) -> bool:
    """Raises Unavailable."""
    return blobs.kept(OWNER, SHA256)


def unmark(blobs: Blobs) -> None:
    blobs.delete_owner(OWNER)
