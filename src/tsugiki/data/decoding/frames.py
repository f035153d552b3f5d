"""What a decoder process and its owner say to each other: a JSON header, then bytes, each as long as said before."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO, NamedTuple

LENGTHS = struct.Struct("<II")  # of the header and of the bytes
MOST_HEADER = 1 << 16
MOST_BYTES = 1 << 28


class Frame(NamedTuple):
    header: dict[str, Any]  # Any: JSON
    data: bytes


class Broken(Exception):
    """The other side has gone, or says what is no frame."""


def packed(header: dict[str, Any], data: bytes = b"") -> list[bytes]:  # Any: JSON
    """What is to be written, one after the other."""
    told = json.dumps(header).encode()
    return [LENGTHS.pack(len(told), len(data)) + told, data]


def read_frame(stream: BinaryIO) -> Frame | None:
    """None at the end of the stream. Raises Broken."""
    beginning = stream.read(LENGTHS.size)
    if not beginning:
        return None
    try:
        header_bytes, data_bytes = LENGTHS.unpack(beginning)
    except struct.error as error:
        raise Broken("a frame was cut short") from error
    if header_bytes > MOST_HEADER or data_bytes > MOST_BYTES:
        raise Broken("what was said is no frame")
    told, data = stream.read(header_bytes), stream.read(data_bytes)
    if len(told) < header_bytes or len(data) < data_bytes:
        raise Broken("a frame was cut short")
    return Frame(json.loads(told), data)
