"""What the pool and a decoding process say to each other: a JSON header and bytes, each length first.

No pickle: what comes out of a process that read hostile bytes is checked like any input.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

LENGTHS = struct.Struct(">II")  # of the header and of the body, in bytes
MOST_HEADER_BYTES = 1 << 16
MOST_BODY_BYTES = 1 << 28  # an hour of 16 kHz float32 is 230 MB

Header = Mapping[str, Any]  # Any because JSON is untyped


class Frame(NamedTuple):
    header: Header
    body: bytearray


class Garbled(Exception):
    """The other side does not keep to the form."""


def send(channel: socket.socket, header: Header, body: bytes | memoryview, deadline: float | None = None) -> None:
    """`deadline` is in seconds of time.monotonic(). Raises TimeoutError, or OSError where the other side is gone."""
    text = json.dumps(header).encode()
    _wait_until(channel, deadline)
    channel.sendall(LENGTHS.pack(len(text), len(body)) + text)
    if body:  # sending nothing would fail where the other side has read the header and gone
        _wait_until(channel, deadline)
        channel.sendall(body)


def receive(channel: socket.socket, deadline: float | None = None) -> Frame:
    """Raises EOFError where the other side is gone, TimeoutError, OSError, Garbled."""
    header_bytes, body_bytes = LENGTHS.unpack(_exactly(channel, LENGTHS.size, deadline))
    if header_bytes > MOST_HEADER_BYTES or body_bytes > MOST_BODY_BYTES:
        raise Garbled(f"a frame of {header_bytes} and {body_bytes} bytes")
    text = _exactly(channel, header_bytes, deadline)
    try:
        header: object = json.loads(text)
    except ValueError as error:
        raise Garbled("the header is no JSON") from error
    if not isinstance(header, dict):
        raise Garbled("the header is no object")
    return Frame(cast(Header, header), _exactly(channel, body_bytes, deadline))


def _exactly(channel: socket.socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    left = memoryview(data)
    while left:
        _wait_until(channel, deadline)
        count = channel.recv_into(left)
        if count == 0:
            raise EOFError
        left = left[count:]
    return data


def _wait_until(channel: socket.socket, deadline: float | None) -> None:
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        channel.settimeout(left)
