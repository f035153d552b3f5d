"""What some bytes are, by how they begin. For labels on what is sent; whether a file can be read its decoder says."""

from __future__ import annotations

UNKNOWN = "application/octet-stream"

BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"fLaC": "audio/flac",
    b"OggS": "audio/ogg",
    b"ID3": "audio/mpeg",
    b"\xff\xfb": "audio/mpeg",
    b"\xff\xf3": "audio/mpeg",
    b"\xff\xf2": "audio/mpeg",
}
# A container's name, four bytes of length, and what is in it.
CONTAINERS = {
    (b"RIFF", b"WEBP"): "image/webp",
    (b"RIFF", b"WAVE"): "audio/wav",
    (b"FORM", b"AIFF"): "audio/aiff",
    (b"FORM", b"AIFC"): "audio/aiff",
}


def media_type(data: bytes) -> str:
    """Of the first bytes of a picture or sound, such as `image/png`; UNKNOWN of all else."""
    if (held := CONTAINERS.get((data[:4], data[8:12]))) is not None:
        return held
    return next((kind for beginning, kind in BEGINNINGS.items() if data.startswith(beginning)), UNKNOWN)
